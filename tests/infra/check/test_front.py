"""What a client meets at the front door, and what Prometheus behind it says."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from infra.check import front, measured
from infra.errors import OperationFailed
from infra.release.source_prometheus import Prometheus

UP = [("superagent", "1"), ("superagent", "0"), ("node", "1")]


class Handler(BaseHTTPRequestHandler):
    """A front door that wants a key, and a Prometheus behind the same port."""

    alerts: tuple[str, ...] = ("Watchdog", "SuperAgentServiceDown")

    def do_GET(self) -> None:
        self.send_response(200 if "Authorization" in self.headers else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        query = parse_qs(text)["query"][0]
        found: list[dict[str, Any]] = []
        if query.startswith("up"):
            found = [{"metric": {"job": job}, "value": [0, value]} for job, value in UP]
        elif "Watchdog" in query or "ALERTS" in query:
            names = [name for name in self.alerts if ("Watchdog" in query) == (name == "Watchdog")]
            found = [{"metric": {"alertname": name}, "value": [0, "1"]} for name in names]
        body = json.dumps({"status": "success", "data": {"result": found}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def test_the_front_door_is_asked_without_a_key(server: ThreadingHTTPServer) -> None:
    url = f"http://127.0.0.1:{server.server_port}"
    assert front.status(url) == 401
    assert front.certificate_ends(url) is None


def certificate(folder: Path, days: int) -> tuple[Path, datetime]:
    """A self-signed certificate for localhost, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC).replace(microsecond=0)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "localhost.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path, now + timedelta(days=days)


def secure(server: ThreadingHTTPServer, pem: Path) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return f"https://localhost:{server.server_port}"


def test_the_certificate_is_the_one_that_clients_are_shown(tmp_path: Path) -> None:
    pem, ends = certificate(tmp_path, 40)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = secure(server, pem)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        trusting = ssl.create_default_context(cafile=str(pem))
        assert front.certificate_ends(url, trusting) == ends
        assert front.status(url, trusting) == 401
        with pytest.raises(OperationFailed, match="clients refuse the certificate"):
            front.certificate_ends(url)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_jobs_and_alerts_come_from_prometheus(server: ThreadingHTTPServer) -> None:
    store = Prometheus(f"http://127.0.0.1:{server.server_port}", sleep=lambda _: None)
    assert measured.targets(store, "prod") == {"superagent": (1, 2), "node": (1, 1)}
    assert measured.watchdog(store)
    assert measured.firing(store, "prod", "critical") == ("SuperAgentServiceDown",)
    assert not measured.limiter(store, "prod")
