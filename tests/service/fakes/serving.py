"""Run a fake upstream in a thread of its own, so that synchronous SDKs can call it too."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn

from tests.parts import free_port, wait_until

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Refused(Exception):
    """The fake answers like the real API to a request it would refuse."""

    def __init__(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self.status = status
        self.body = body
        self.headers = headers or {}
        super().__init__(status, body)


class FakeUpstream:
    """Base of the fakes: keeps requests, plays scripted failures once each, then answers for real.

    `script` holds functions called with `send` in place of the next answers.
    """

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.refusals: list[dict[str, Any]] = []
        self.script: list[Callable[[Send], Awaitable[None]]] = []
        self.gone = threading.Event()  # a client hung up in the middle of a stream

    def fail_next(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        async def play(send: Send) -> None:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            await respond(send, status, raw, headers or {})

        self.script.append(play)

    def stream_next(self, chunks: list[bytes], *, cut: bool = False, gap: float = 0.0) -> None:
        """The next answer is this stream; `cut`: the connection breaks after it."""

        async def play(send: Send) -> None:
            await start_stream(send)
            for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await asyncio.sleep(gap)
            if cut:
                raise ConnectionAbortedError("the fake breaks the connection, as scripted")
            await send({"type": "http.response.body", "body": b""})

        self.script.append(play)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.headers.append(headers)
        path = scope["path"] + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        if self.script and scope["method"] == "POST":
            await self.script.pop(0)(send)
            return
        try:
            watcher = asyncio.ensure_future(self._watch(receive))
            try:
                await self.answer(scope["method"], path, headers, body, send)
            finally:
                watcher.cancel()
        except Refused as refused:
            self.refusals.append(refused.body)
            await respond(send, refused.status, json.dumps(refused.body).encode(), refused.headers)

    async def _watch(self, receive: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone.set()
                return

    async def answer(self, method: str, path: str, headers: dict[str, str], body: bytes, send: Send) -> None:
        raise NotImplementedError


async def respond(
    send: Send,
    status: int,
    body: bytes,
    headers: dict[str, str] | None = None,
    content_type: str = "application/json",
) -> None:
    pairs = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    pairs += [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


async def start_stream(send: Send, content_type: str = "text/event-stream") -> None:
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", content_type.encode())],
        }
    )


@contextlib.contextmanager
def serve(app: Any) -> Iterator[str]:
    """Base URL of `app`, served until the block ends."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical", lifespan="off")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the fake upstream listens")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(10)
