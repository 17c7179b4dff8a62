"""One request and its answer, without a task, a wrapper or a context manager of its own."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from msgspec import Struct

from service.api import errors
from service.api.errors import ApiError
from service.auth.permissions import Principal
from service.telemetry.traces import Trace

Headers = list[tuple[bytes, bytes]]

CLOSE: Final = (b"connection", b"close")
JSON: Final = (b"content-type", b"application/json")
EVENTS: Final = (
    b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
)
CLIENT_CLOSED: Final = 499

# Ids are unique for ever without asking anybody: 64 random bits a process, and a counter.
IDS: Final[Iterator[str]] = map((f"req_{os.urandom(8).hex()}" + "%08x").__mod__, itertools.count(1))


def header_lines(headers: Headers) -> bytes:
    """As they stand in a head, each with its line end."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


class Common:
    """What answers have in common: headers, rendered once, and how a failure is told. `closing` asks clients
    to use another connection.
    """

    __slots__ = ("closing", "describe", "headers", "lines")

    def __init__(
        self,
        headers: Headers,
        describe: Callable[[Exception, Exchange], ApiError],
        *,
        closing: bool = False,
    ) -> None:
        self.closing = closing
        self.describe = describe
        self.headers = headers
        self.lines = header_lines(headers)


class Connection(Protocol):
    """What an exchange needs of the connection it came in on (`ApiProtocol`)."""

    client: str
    transport: asyncio.Transport
    task: asyncio.Task[None]  # which answers its requests, one after the other
    on_disconnect: Callable[[], None] | None

    def resume(self) -> None: ...

    full: asyncio.Future[None] | None  # there while the client reads too slowly

    def proceed(self, exchange: Exchange) -> None: ...

    def answer(self, exchange: Exchange, status: int, lines: bytes, body: bytes) -> None: ...

    def begin(self, exchange: Exchange, status: int, lines: bytes) -> None: ...

    def piece(self, exchange: Exchange, data: bytes, *, last: bool = False) -> None: ...


class Exchange(Struct, eq=False):
    """`status` is 0 until the head is sent, `answered` when all is; `seconds()` is the age of the request.

    `lines` and `response_headers` are added to the answer, whoever gives it.
    """

    _connection: Connection
    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    common: Common
    request_id: str
    started: float
    keep_alive: bool = True
    chunked: bool = True
    template: str = ""
    status: int = 0
    principal: Principal | None = None
    body_deadline: float = 0.0
    timed_out: bool = False
    disconnected: bool = False
    answered: bool = False
    lines: bytes = b""
    response_headers: Headers = []
    fields: dict[str, Any] = {}  # what else the log line says
    trace: Trace | None = None  # None while tracing is off
    # endpoints with another error format put theirs here
    error_body: Callable[[ApiError, str], bytes] = errors.body
    _scope: dict[str, Any] | None = None
    _parts: list[bytes] = []
    _arrived: bool = False
    _waiter: asyncio.Future[None] | None = None
    unread: int = 0

    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def task(self) -> asyncio.Task[None]:
        """Who answers, to be cancelled when nobody waits any more."""
        return self._connection.task

    @property
    def client(self) -> str:
        """The peer's address."""
        return self._connection.client

    @property
    def scope(self) -> dict[str, Any]:
        """The request as ASGI describes it, for Starlette's router."""
        if self._scope is None:
            self._scope = {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.3"},
                "http_version": "1.1" if self.chunked else "1.0",
                "method": self.method,
                "scheme": "http",
                "path": self.path,
                "query_string": self.query,
                "root_path": "",
                "headers": list(self.headers.items()),
                "client": (self._connection.client, 0),
                "server": None,
            }
        return self._scope

    # --- the body

    def feed(self, data: bytes) -> None:
        """More of the body came."""
        self._parts.append(data)
        self.unread += len(data)
        if self._waiter is not None:
            self._stir()

    def whole(self) -> None:
        """All of the body is here."""
        self._arrived = True
        if self._waiter is not None:
            self._stir()

    def gone(self) -> None:
        """The client left before its body was whole."""
        self.disconnected = True
        self._stir()

    def _stir(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def ready_body(self, limit: int) -> bytes | None:
        """The whole body if it is here, as it nearly always is. Raises `ApiError` 413 over `limit` bytes."""
        if not self._arrived:
            return None
        if self.unread > limit:
            raise too_large(limit)
        parts = self._parts
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def body(self, limit: int, seconds: float) -> bytes:
        """The whole body. Raises `ApiError` 413 over `limit` bytes; the sweeper ends it after `seconds`."""
        length = self.headers.get(b"content-length")
        if length is not None and int(length) > limit:
            raise too_large(limit)
        self.body_deadline = time.monotonic() + seconds
        if not self._arrived and b"expect" in self.headers:
            self._connection.proceed(self)
        chunks: list[bytes] = []
        size = 0
        while True:
            chunks += self._parts
            size += self.unread
            self._parts, self.unread = [], 0
            if size > limit:
                raise too_large(limit)
            if self._arrived:
                self.body_deadline = 0.0
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)
            if self.disconnected:
                raise asyncio.CancelledError
            self._connection.resume()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    # --- the client

    def watch_disconnect(self, gone: Callable[[], None] | None = None) -> None:
        """Call `gone` when the client goes away; without it this request's task is cancelled, and what it
        awaits upstream ends. One that has left already (while it was admitted) is heard at once.
        """
        gone = gone or self.client_gone
        self._connection.on_disconnect = gone
        if self._connection.transport.is_closing():
            gone()

    def client_gone(self) -> None:
        self.disconnected = True
        self.task.cancel()

    def describe_failure(self, error: Exception) -> ApiError:
        """What the client is told about a failure in the middle of its stream."""
        return self.common.describe(error, self)

    # --- the answer

    def _head(self, lines: bytes) -> bytes:
        common = self.common
        if common.closing:
            self.keep_alive = False
        if self.response_headers:
            lines += header_lines(self.response_headers)
        return b"".join(
            (b"x-request-id: ", self.request_id.encode(), b"\r\n", common.lines, self.lines, lines)
        )

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer with the headers that every answer has."""
        if CLOSE in headers:
            self.keep_alive = False
            headers = [header for header in headers if header != CLOSE]
        await self.reply(status, header_lines(headers), body)

    async def reply(self, status: int, lines: bytes, body: bytes) -> None:
        """As `respond`, with headers that are rendered already."""
        self.status = status
        connection = self._connection
        if connection.full is not None:
            await asyncio.shield(connection.full)
        connection.answer(self, status, self._head(lines), body)

    async def start_stream(self, headers: Headers) -> None:
        self.status = 200
        self._connection.begin(self, 200, EVENTS + self._head(header_lines(headers)))

    async def write(self, data: bytes) -> None:
        connection = self._connection
        if connection.full is not None:
            await asyncio.shield(connection.full)
        connection.piece(self, data)

    async def finish(self, data: bytes = b"") -> None:
        connection = self._connection
        if connection.full is not None:
            await asyncio.shield(connection.full)
        connection.piece(self, data, last=True)

    async def fail(self, error: ApiError) -> None:
        """Answer with the error; an oversized or unread body also ends the connection."""
        headers = [JSON, *errors.extra_headers(error)]
        if error.status in (408, 413):
            headers.append(CLOSE)
        await self.respond(error.status, headers, self.error_body(error, self.request_id))


def too_large(limit: int) -> ApiError:
    return ApiError(413, f"The body is larger than {limit:,} bytes, which is the most this service takes.")
