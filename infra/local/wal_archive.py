"""The archive and restore command of the local Postgres: one WAL segment to or from S3.

Postgres starts it for every segment, so it needs the standard library only (50 ms instead of 500).
It runs under Postgres' own identity and finds its settings in a file whose path is an argument.

    wal_archive.py CONFIG put PATH NAME     archive_command: succeeds only when S3 has the segment
    wal_archive.py CONFIG get NAME PATH     restore_command: fails when S3 does not have it

A name that is there with other content is refused, as PostgreSQL's manual asks (26.3.1).
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import http.client
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

SECONDS = 60
ABSENT = 404


class Archive:
    """The place of one cluster's WAL: endpoint, bucket, prefix, region."""

    def __init__(self, config: dict[str, str]) -> None:
        self.endpoint = urlsplit(config["endpoint"])
        self.bucket = config["bucket"]
        self.prefix = config["prefix"]
        self.region = config["region"]
        self.key = os.environ.get("AWS_ACCESS_KEY_ID", "local")
        self.secret = os.environ.get("AWS_SECRET_ACCESS_KEY", "local")

    def put(self, path: Path, name: str) -> None:
        """Store a segment and return when S3 has answered."""
        plain = path.read_bytes()
        digest = hashlib.sha256(plain).hexdigest()
        status, headers, _ = self.request("HEAD", name)
        if status == 200:
            if headers.get("x-amz-meta-sha256") == digest:
                return
            raise SystemExit(f"{name} is in the archive already, with other content")
        if status != ABSENT:
            raise SystemExit(f"S3 answered {status} when asked for {name}")
        # A segment that was switched early is mostly zeros: level 1 makes 16 MB of it 70 kB.
        packed = gzip.compress(plain, 1)
        # A bucket with Object Lock takes nothing without a checksum of the transfer.
        checksum = base64.b64encode(hashlib.md5(packed, usedforsecurity=False).digest()).decode()
        headers = {"x-amz-meta-sha256": digest, "content-md5": checksum}
        status, _, body = self.request("PUT", name, packed, headers)
        if status != 200:
            raise SystemExit(f"S3 answered {status} to {name}: {body[:200].decode(errors='replace')}")

    def get(self, name: str, path: Path) -> None:
        """Fetch a segment; whole or not at all."""
        status, headers, body = self.request("GET", name)
        if status != 200:
            raise SystemExit(f"{name} is not in the archive ({status})")
        plain = gzip.decompress(body)
        if hashlib.sha256(plain).hexdigest() != headers.get("x-amz-meta-sha256"):
            raise SystemExit(f"{name} in the archive is damaged")
        fresh = path.with_name(path.name + ".fetching")
        fresh.write_bytes(plain)
        fresh.replace(path)

    def request(
        self, method: str, name: str, body: bytes = b"", extra: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One signed request; status, headers in lower case, body."""
        path = f"/{self.bucket}/{quote(f'{self.prefix}{name}.gz')}"
        headers = self.signed(method, path, body, extra or {})
        make = http.client.HTTPSConnection if self.endpoint.scheme == "https" else http.client.HTTPConnection
        connection = make(self.endpoint.hostname or "", self.endpoint.port, timeout=SECONDS)
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        except OSError as failed:
            raise SystemExit(f"S3 does not answer: {failed}") from None
        finally:
            connection.close()

    def signed(self, method: str, path: str, body: bytes, extra: dict[str, str]) -> dict[str, str]:
        """Headers with a Signature Version 4 (AWS, "Create a signed AWS API request")."""
        now = datetime.now(UTC)
        digest = hashlib.sha256(body).hexdigest()
        headers = {
            "host": self.endpoint.netloc,
            "x-amz-content-sha256": digest,
            "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}",
            **extra,
        }
        names = ";".join(sorted(headers))
        lines = "".join(f"{key}:{headers[key]}\n" for key in sorted(headers))
        canonical = f"{method}\n{path}\n\n{lines}\n{names}\n{digest}"
        scope = f"{now:%Y%m%d}/{self.region}/s3/aws4_request"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        key = f"AWS4{self.secret}".encode()
        for part in (f"{now:%Y%m%d}", self.region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{hashed}"
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return headers


def main(words: list[str]) -> None:
    """Do what Postgres asks; any failure is a sentence on stderr and exit code 1."""
    if len(words) != 4 or words[1] not in ("put", "get"):
        raise SystemExit("wal_archive.py CONFIG put PATH NAME | CONFIG get NAME PATH")
    archive = Archive(json.loads(Path(words[0]).read_text()))
    if words[1] == "put":
        archive.put(Path(words[2]), words[3])
    else:
        archive.get(words[2], Path(words[3]))


if __name__ == "__main__":
    main(sys.argv[1:])
