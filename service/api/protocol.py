"""The server's side of one HTTP/1.1 connection, on httptools. uvicorn listens, counts connections and ends
them; what it would do for each request (scope, cycle, event, task, timer) costs a third of a whole cache hit.

So: one task per connection, not per request; a whole answer is one write; nobody arms a timer, because `Edge`
sweeps over `due`. Heads have a size and a deadline, and a running request hears when its client goes away.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, Final
from urllib.parse import unquote

import httptools

from service.api import framing, idle
from service.api.exchange import IDS, Exchange

HIGH_WATER: Final = 65_536  # unread body bytes at which reading pauses
METHODS: Final = {
    name.encode(): name for name in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
}


class ApiProtocol(asyncio.Protocol):
    """Settings are class attributes of a subclass made by `configured`, as uvicorn builds instances. `due` is
    when the connection is closed for silence (monotonic seconds), 0 while a request is at work; `unread_due`
    when it is cut because nothing of an answer was read, 0 while there is room for more.
    """

    head_seconds: ClassVar[float] = 10.0
    head_bytes: ClassVar[int] = 32_768
    unread_seconds: ClassVar[float] = 60.0

    def __init__(
        self, config: Any, server_state: Any, app_state: Any, _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        if not config.loaded:
            config.load()
        self._edge = config.loaded_app
        self._loop = _loop or asyncio.get_running_loop()
        self._server = server_state
        self._idle_seconds: float = config.timeout_keep_alive
        self._parser = httptools.HttpRequestParser(self)
        # A client may send its next request before it saw that this connection closes.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set when connected
        self.client = ""
        self.due = self.unread_due = 0.0
        self.unread = 0
        self.on_disconnect: Callable[[], None] | None = None
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_size = 0
        self._in_head = self._may_be_big = self._deaf = False
        self._arriving: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._at_work: Exchange | None = None
        self._wake: asyncio.Future[None] | None = None
        self.full: asyncio.Future[None] | None = None
        self._paused = False
        self._raw_left = 0  # bytes of a body that the parser does not read

    # --- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self.client = str(peer[0]) if isinstance(peer, tuple) else ""
        self.due = time.monotonic() + self._idle_seconds
        self._server.connections.add(self)
        self._edge.connections.add(self)
        task = self.task = self._loop.create_task(self._serve(), name="connection")
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._edge.connections.discard(self)
        self._deaf, self._raw_left = True, 0
        self.resume_writing()
        _release(self._wake)
        if self._arriving is not None:
            self._arriving.gone()
        callback, self.on_disconnect = self.on_disconnect, None
        if callback is not None:
            callback()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._raw_body(data)
            return
        self._may_be_big = len(data) > self.head_bytes
        if self._in_head:
            self._head_size += len(data)
            if self._head_size > self.head_bytes:
                self._refuse(431, "The request's headers are too large.")
                return
            self._may_be_big = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # Nothing else is spoken here (HTTP clients ask for h2c by themselves): the request is answered as
            # HTTP/1.1 and is the last one, and the parser leaves its body to us.
            self._deaf = True
            self._raw_body(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            if self._head_size > self.head_bytes:
                self._refuse(431, "The request's headers are too large.")
            else:
                self._refuse(400, "This is not a valid HTTP request.")
            return
        if self._in_head and self._head_size == 0:
            # In pieces: from here on it has a deadline and a size, unknown where another request came before.
            self._head_size = len(data) if self._at_work is None and not self._waiting else 1
            self.due = time.monotonic() + self.head_seconds
            if self._head_size > self.head_bytes:
                self._refuse(431, "The request's headers are too large.")

    def pause_writing(self) -> None:
        self.full = self._loop.create_future()
        self.unread = idle.unread(self.transport)
        self.unread_due = time.monotonic() + self.unread_seconds

    def resume_writing(self) -> None:
        full, self.full, self.unread_due = self.full, None, 0.0
        _release(full)

    # --- httptools

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = {}
        self._in_head = True
        self._head_size = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name, headers = name.lower(), self._headers
        if name in headers and name in framing.LISTS:
            value = headers[name] + b"," + value
        headers[name] = value

    def on_headers_complete(self) -> None:
        self._in_head = False
        headers, parser, url, edge = self._headers, self._parser, self._url, self._edge
        if self._may_be_big and sum([len(n) + len(v) for n, v in headers.items()]) > self.head_bytes:
            self._head_size = self.head_bytes + 1
            raise ValueError("head too large")  # the parser stops there
        path = edge.paths.get(url)
        query = b""
        if path is None:
            parsed = httptools.parse_url(url)
            path, query = (parsed.path or b"/").decode("ascii"), parsed.query or b""
            if "%" in path:
                path = unquote(path)
        raw = parser.get_method()
        method = METHODS.get(raw) or raw.decode("ascii")
        chunked = parser.get_http_version() != "1.0"
        keep_alive = chunked and parser.should_keep_alive()
        exchange = self._arriving = Exchange(
            self, method, path, query, headers, edge.common, next(IDS), time.monotonic(), keep_alive, chunked
        )
        if parser.should_upgrade():
            exchange.keep_alive = False
            length = headers.get(b"content-length", b"0")
            self._raw_left = int(length) if length.isdigit() else 0
        if self._at_work is not None or self._waiting:
            self._pause()  # pipelined: one at a time
        self._waiting.append(exchange)
        _release(self._wake)

    def on_body(self, body: bytes) -> None:
        exchange = self._arriving
        if exchange is None or exchange.answered:
            return
        exchange.feed(body)
        if exchange.unread > HIGH_WATER:
            self._pause()

    def _raw_body(self, data: bytes) -> None:
        if self._raw_left:
            data = data[: self._raw_left]
            self._raw_left -= len(data)
            self.on_body(data)
            if not self._raw_left:
                self.on_message_complete()

    def on_message_complete(self) -> None:
        if self._raw_left:
            return
        exchange, self._arriving = self._arriving, None
        if exchange is not None:
            exchange.whole()

    # --- one request after the other

    async def _serve(self) -> None:
        waiting, edge, transport = self._waiting, self._edge, self.transport
        try:
            while True:
                while not waiting:
                    if transport.is_closing():
                        return
                    self._wake = self._loop.create_future()
                    await self._wake
                exchange = self._at_work = waiting.popleft()
                self.due = 0.0
                await edge.serve(exchange)
                self._at_work = self.on_disconnect = None
                self._server.total_requests += 1
                if not exchange.answered or not exchange.keep_alive:
                    return
                self.due = time.monotonic() + self._idle_seconds
                if not waiting:
                    self.resume()
        finally:
            self._leave(still_sending=self._arriving is not None)

    def _leave(self, *, still_sending: bool) -> None:
        """Nothing more is answered here; what comes is dropped."""
        self._deaf, self._raw_left, self._at_work, self._arriving = True, 0, None, None
        self._waiting.clear()
        self.resume()
        self.due = idle.close(self.transport, still_sending)

    def silent(self) -> None:
        """Nothing came for too long (told by the sweeper)."""
        if self._at_work is None and not self._waiting:
            self.transport.close()

    def shutdown(self) -> None:
        """uvicorn ends: now when nothing is at work, else after the answer."""
        running = self._at_work or (self._waiting[0] if self._waiting else None)
        if running is None:
            self.transport.close()
        else:
            running.keep_alive = False

    def _pause(self) -> None:
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on: somebody takes what comes."""
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    # --- answers

    def proceed(self, exchange: Exchange) -> None:
        """Answer `Expect: 100-continue`: the body is wanted."""
        if exchange.headers.get(b"expect", b"").lower() == b"100-continue" and exchange.chunked:
            self.transport.write(framing.CONTINUE)

    def answer(self, exchange: Exchange, status: int, lines: bytes, body: bytes) -> None:
        """A whole answer in one write; `lines` are header lines."""
        exchange.answered = True
        if not self.transport.is_closing():
            self.transport.write(framing.whole(exchange, status, framing.dated(self._server), lines, body))

    def begin(self, exchange: Exchange, status: int, lines: bytes) -> None:
        """The head of an answer that comes in pieces."""
        if not exchange.chunked:
            exchange.keep_alive = False  # HTTP/1.0: the answer ends with the connection
        if not self.transport.is_closing():
            self.transport.write(framing.opening(exchange, status, framing.dated(self._server) + lines))

    def piece(self, exchange: Exchange, data: bytes, *, last: bool = False) -> None:
        """The next bytes of the body, and its end."""
        exchange.answered = exchange.answered or last
        framed = framing.piece(exchange, data, last)
        if framed and not self.transport.is_closing():
            self.transport.write(framed)

    def _refuse(self, status: int, message: str) -> None:
        self._deaf = True
        self.transport.write(framing.refusal(status, message))
        if self._at_work is None and not self._waiting:
            self._leave(still_sending=True)
        else:
            self.transport.close()


def _release(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


def configured(**limits: float) -> type[ApiProtocol]:
    """The protocol with these limits: uvicorn makes the instances, so they live on the class."""
    return type("ConfiguredProtocol", (ApiProtocol,), limits)
