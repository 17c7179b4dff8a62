"""As much of S3 as a backup and a restore use, with as little CPU as possible: bytes go to files.

In AWS the work of S3 is done on other machines. The emulator of the local system does it in Python on this
one, and takes about a quarter of the CPU of a whole backup; this stands in for it where the tool itself is
measured. It checks nothing.

    python -m tests.benchmarks.light_s3 --port PORT --folder FOLDER
"""

from __future__ import annotations

import argparse
import itertools
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BLOCK = 1 << 20


class Objects:
    """Objects as lists of files; an upload becomes one when it is completed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = itertools.count()
        self.lock = threading.Lock()
        self.objects: dict[str, list[Path]] = {}
        self.uploads: dict[str, dict[int, Path]] = {}

    def new_file(self) -> Path:
        with self.lock:
            return self.folder / str(next(self.numbers))

    def put(self, key: str, files: list[Path]) -> None:
        with self.lock:
            old, self.objects[key] = self.objects.get(key, []), files
        for path in old:
            path.unlink(missing_ok=True)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: Objects

    def log_message(self, format: str, *args: object) -> None:
        return

    def where(self) -> tuple[str, dict[str, str]]:
        """Key (without the bucket) and query."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        return unquote(parts.path).lstrip("/").partition("/")[2], query

    def do_PUT(self) -> None:
        key, query = self.where()
        path = self.objects.new_file()
        self.receive(path)
        if "partNumber" in query:
            self.objects.uploads[query["uploadId"]][int(query["partNumber"])] = path
        elif key:
            self.objects.put(key, [path])
        self.answer(200, b"", {"ETag": f'"{path.name}"'})

    def do_POST(self) -> None:
        key, query = self.where()
        path = self.objects.new_file()
        self.receive(path)
        path.unlink()
        if "uploads" in query:
            with self.objects.lock:
                upload = f"u{next(self.objects.numbers)}"
            self.objects.uploads[upload] = {}
            name = "InitiateMultipartUploadResult"
            text = f"<{name}><UploadId>{upload}</UploadId></{name}>"
        else:
            parts = self.objects.uploads.pop(query["uploadId"])
            self.objects.put(key, [parts[number] for number in sorted(parts)])
            text = f"<CompleteMultipartUploadResult><Key>{escape(key)}</Key></CompleteMultipartUploadResult>"
        self.answer(200, text.encode())

    def do_GET(self) -> None:
        key, query = self.where()
        if not key and "list-type" in query:
            found = "".join(
                f"<Contents><Key>{escape(name)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                f"<Size>{sum(path.stat().st_size for path in files)}</Size></Contents>"
                for name, files in sorted(self.objects.objects.items())
                if name.startswith(query.get("prefix", ""))
            )
            body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
            self.answer(200, body.encode())
        elif key not in self.objects.objects:
            code = "ServerSideEncryptionConfigurationNotFoundError" if "encryption" in query else "NoSuchKey"
            self.answer(404, f"<Error><Code>{code}</Code></Error>".encode())
        else:
            self.send_object(self.objects.objects[key])

    def receive(self, path: Path) -> None:
        left = int(self.headers.get("Content-Length") or 0)
        block = memoryview(bytearray(BLOCK))
        with path.open("wb", buffering=0) as file:
            while left and (size := self.rfile.readinto(block[: min(left, BLOCK)])):  # type: ignore[attr-defined]
                file.write(block[:size])
                left -= size

    def send_object(self, files: list[Path]) -> None:
        total = sum(path.stat().st_size for path in files)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        end = min(int(asked[2]) + 1 if asked and asked[2] else total, total)
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        self.wfile.flush()
        place = 0
        for path in files:
            size = path.stat().st_size
            first, last = max(start - place, 0), min(end - place, size)
            if first < last:
                with path.open("rb") as file:
                    self.connection.sendfile(file, first, last - first)
            place += size

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    Handler.objects = Objects(given.folder)
    server = ThreadingHTTPServer(("127.0.0.1", given.port), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
