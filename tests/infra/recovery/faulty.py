"""A proxy in front of the AWS API that fails on purpose: errors, cut connections, and a death at any call."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlparse

Fault = Literal["500", "slowdown", "cut", "half"]
Decide = Callable[[int, str], Fault | None]
"""Number of the call (from 0) and `METHOD /path?query` → what goes wrong."""

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
INTERNAL = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"


class Proxy:
    """Counts and names calls; `decide` is asked before each, `after` is told when its answer is ready."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlparse(upstream)
        self.calls: list[str] = []
        self.decide: Decide = lambda number, call: None
        self.after: Callable[[int, str], None] = lambda number, call: None
        self.lock = threading.Lock()
        self.url = ""


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        return  # clients die here on purpose


@contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    state = Proxy(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            return

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            call = f"{self.command} {self.headers.get('X-Amz-Target') or self.path}"
            with state.lock:
                number = len(state.calls)
                state.calls.append(call)
            fault = state.decide(number, call)
            if fault == "cut":
                self.close_connection = True
                self.connection.close()
                return
            if fault in ("500", "slowdown"):
                self.answer(500 if fault == "500" else 503, {}, INTERNAL if fault == "500" else SLOW_DOWN)
                return
            up = http.client.HTTPConnection(state.upstream.hostname or "", state.upstream.port, timeout=60)
            up.request(self.command, self.path, body, dict(self.headers))
            reply = up.getresponse()
            data = reply.read()
            state.after(number, call)
            headers = {k: v for k, v in reply.getheaders() if k.lower() not in HOP}
            if self.command == "HEAD":
                headers["Content-Length"] = reply.getheader("Content-Length") or "0"
            if fault == "half":
                self.send_response(reply.status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                self.close_connection = True
                self.connection.close()
                return
            self.answer(reply.status, headers, data)

        def answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
            try:
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    server = QuietServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


HOP = {"content-length", "transfer-encoding", "connection", "date", "server"}
