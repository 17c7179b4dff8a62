"""A receiver of Alertmanager's webhooks that remembers what it was told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Webhook:
    """`url` for Alertmanager's configuration, `alerts` as they arrived."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.alerts: list[dict[str, Any]] = []
        """Each alert of each notification, with `receiver` beside its own fields."""
        self.refuses = False
        """Whether it answers 400 and remembers nothing."""

    def firing(self) -> set[str]:
        """Names of alerts that were reported as firing."""
        return {one["labels"]["alertname"] for one in self.alerts if one["status"] == "firing"}

    def resolved(self) -> set[str]:
        """Names of alerts that were reported as over."""
        return {one["labels"]["alertname"] for one in self.alerts if one["status"] == "resolved"}


@contextmanager
def webhook() -> Iterator[Webhook]:
    """A running receiver on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not found.refuses:
                found.alerts += [{**one, "receiver": told["receiver"]} for one in told["alerts"]]
            self.send_response(400 if found.refuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Webhook(f"http://127.0.0.1:{server.server_port}/")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
