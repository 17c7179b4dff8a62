"""Make a certificate for the front door, unless there is one that lasts; your own goes into the same files.

python certs.py /certs localhost
"""

import datetime
import ipaddress
import os
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

OWNER = 10001
"""User of Envoy's container (docker-compose.yml)."""
DAYS = 90
RENEW_DAYS = 30


def lasts(path: Path, now: datetime.datetime) -> bool:
    """Whether a certificate is there and lasts for another month."""
    try:
        ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return False
    return ends - now > datetime.timedelta(days=RENEW_DAYS)


def name_of(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def make(folder: Path, hosts: list[str], now: datetime.datetime) -> None:
    """Write `tls.key` (its owner's alone) and a self-signed `tls.crt`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0][:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([name_of(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write(folder / "tls.key", private, 0o600)
    write(folder / "tls.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def write(path: Path, data: bytes, mode: int) -> None:
    """Replace a file whole, readable by its owner from the first byte on."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    if os.geteuid() == 0:
        os.chown(new, OWNER, OWNER)
    new.rename(path)


def main(words: list[str]) -> int:
    if len(words) < 2 or not all(words):
        print("Error: give a folder and at least one host name.", file=sys.stderr)  # noqa: T201
        return 2
    folder, hosts, now = Path(words[0]), words[1:], datetime.datetime.now(datetime.UTC)
    if lasts(folder / "tls.crt", now) and (folder / "tls.key").exists():
        print("The certificate lasts; nothing was changed.")  # noqa: T201
        return 0
    make(folder, hosts, now)
    print(f"Made a certificate for {', '.join(hosts)}.")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
