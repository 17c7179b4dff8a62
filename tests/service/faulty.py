"""An upstream in OpenAI's format that misbehaves as it is told, in a thread."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

ANSWER = json.dumps(
    {
        "id": "1",
        "model": "m",
        "choices": [{"message": {"role": "assistant", "content": "well"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
).encode()
EVENT = b'data: {"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"well "}}]}\n\n'
END = b'data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
HALF = b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{"
MODES = ("refuse", "hang", "garbage", "die", "flood")


class _Handler(socketserver.StreamRequestHandler):
    server: Faulty

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._answer()

    def _answer(self) -> None:
        head = b""
        while line := self.rfile.readline():
            if line == b"\r\n":
                break
            head += line.lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        streamed = b'"stream":true' in self.rfile.read(length)
        mode = self.server.mode
        if mode == "refuse":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        elif mode == "hang":
            self.server.released.wait(60)
        elif mode == "garbage":
            self.wfile.write(b"\x16\x03\x01 this is not HTTP \x00\xff" * 50)
        elif mode == "flood":
            self.wfile.write(STREAM + b"data: ")
            for _ in range(2_000):
                self.wfile.write(b"x" * 65_536)
        elif mode == "die":
            self.wfile.write(STREAM + EVENT if streamed else HALF)
        elif streamed:
            self.wfile.write(STREAM + EVENT * 3 + END)
        else:
            self.wfile.write(
                b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
                % (len(ANSWER), ANSWER)
            )


class Faulty(socketserver.ThreadingTCPServer):
    """`mode` is one of `MODES`, or `well`."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self) -> None:
        self.mode = "well"
        self.released = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port: int = self.server_address[1]

    def providers(self) -> dict[str, Any]:
        """A providers file: alias `both` asks this one first and a simulator next, `bad/m` this one alone."""
        bad = {
            "name": "bad",
            "kind": "openai",
            "flavour": "generic",
            "base_url": f"http://127.0.0.1:{self.port}/v1",
            "allow_private": True,
            "models": ["m"],
            "timeouts": {"connect": 1, "first_token": 1, "between_tokens": 1, "total": 3},
        }
        spare = {"name": "spare", "kind": "simulator", "models": ["echo"]}
        return {
            "providers": [bad, spare],
            "aliases": {"both": ["bad/m", "spare/echo"]},
            "routing": {"breaker_failures": 3, "breaker_open_seconds": 1, "tries_per_target": 1},
        }


@contextlib.contextmanager
def faulty() -> Iterator[Faulty]:
    server = Faulty()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
