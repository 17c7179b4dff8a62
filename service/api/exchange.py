"""One request and its answer, without a task, a wrapper or a context manager of its own."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable
from typing import Any, Final

from service.api import errors
from service.api.errors import ApiError
from service.auth.permissions import Principal

Headers = list[tuple[bytes, bytes]]

CLOSE: Final = (b"connection", b"close")
JSON: Final = (b"content-type", b"application/json")
EVENTS: Final = (b"content-type", b"text/event-stream; charset=utf-8")
CLIENT_CLOSED: Final = 499

# Ids are unique for ever without asking anybody: 64 random bits a process, and a counter.
_BOOT: Final = os.urandom(8).hex()
_COUNTER: Final = itertools.count(1)


class Common:
    """Headers of every answer, rendered once; `closing` asks clients to use another connection."""

    __slots__ = ("closing", "headers", "lines")

    def __init__(self, headers: Headers, *, closing: bool = False) -> None:
        self.closing = closing
        self.headers = [*headers, CLOSE] if closing else headers
        self.lines = b"".join([b"%b: %b\r\n" % header for header in headers])


class Exchange:
    """`status` is 0 until the head is sent; `seconds()` is the age of the request."""

    __slots__ = (
        "body_deadline", "common", "describe", "disconnected", "error_body", "fields", "headers", "method",
        "path", "principal", "receive", "request_id", "response_headers", "scope", "send", "started",
        "status", "task", "template", "timed_out",
    )  # fmt: skip

    def __init__(
        self,
        scope: Any,
        receive: Any,
        send: Any,
        common: Common,
        describe: Callable[[Exception, Exchange], ApiError],
    ) -> None:
        self.describe = describe
        self.error_body: Callable[[ApiError, str], bytes] = (
            errors.body
        )  # endpoints with another error format put theirs here
        self.scope = scope
        self.receive = receive
        self.send = send
        self.common = common
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.template = ""
        self.request_id = f"req_{_BOOT}{next(_COUNTER):08x}"
        self.started = time.monotonic()
        self.status = 0
        self.principal: Principal | None = None
        self.task: asyncio.Task[Any] | None = None
        self.body_deadline = 0.0
        self.timed_out = False
        self.disconnected = False
        self.response_headers: Headers = []
        self.fields: dict[str, Any] = {}  # what else the log line says

    def seconds(self) -> float:
        return time.monotonic() - self.started

    async def body(self, limit: int, seconds: float) -> bytes:
        """The whole body. Raises `ApiError` 413 over `limit` bytes; the sweeper ends it after `seconds`."""
        length = self.headers.get(b"content-length")
        if length is not None and int(length) > limit:
            raise too_large(limit)
        self.body_deadline = time.monotonic() + seconds
        message = await self.receive()
        if not message.get("more_body", False) and message["type"] == "http.request":
            self.body_deadline = 0.0
            whole: bytes = message["body"]
            if len(whole) > limit:
                raise too_large(limit)
            return whole
        chunks: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                self.disconnected = True
                raise asyncio.CancelledError
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            chunks.append(chunk)
            if not message.get("more_body", False):
                self.body_deadline = 0.0
                return b"".join(chunks)
            message = await self.receive()

    def watch_disconnect(self) -> None:
        """Cancel this request's task when the client goes away; also what it awaits upstream ends then."""
        connection = self.scope.get("superagent.connection")
        if connection is not None:
            connection.on_disconnect = self.client_gone

    def client_gone(self) -> None:
        self.disconnected = True
        if self.task is not None:
            self.task.cancel()

    def describe_failure(self, error: Exception) -> ApiError:
        """What the client is told about a failure in the middle of its stream."""
        return self.describe(error, self)

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer with the headers that every answer has."""
        self.status = status
        connection = self.scope.get("superagent.connection")
        if connection is None:
            await self._respond_by_asgi(status, headers, body)
            return
        cycle = self.receive.__self__
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        lines = [
            b"content-length: %d\r\nx-request-id: %b\r\n" % (len(body), self.request_id.encode()),
            self.common.lines,
        ]
        for header in headers:
            lines.append(b"%b: %b\r\n" % header)
        for header in self.response_headers:
            lines.append(b"%b: %b\r\n" % header)
        if self.common.closing or CLOSE in headers:
            cycle.keep_alive = False
        connection.answer(cycle, status, lines, body)

    async def _respond_by_asgi(self, status: int, headers: Headers, body: bytes) -> None:
        """For servers other than ours (tests of the app alone)."""
        await self.send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*headers, (b"content-length", b"%d" % len(body)), *self.own_headers()],
            }
        )
        await self.send({"type": "http.response.body", "body": body})

    def own_headers(self) -> Headers:
        """What every answer carries."""
        return [(b"x-request-id", self.request_id.encode()), *self.common.headers, *self.response_headers]

    async def start_stream(self, headers: Headers) -> None:
        self.status = 200
        await self.send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    EVENTS,
                    (b"cache-control", b"no-cache"),
                    (b"x-accel-buffering", b"no"),
                    *headers,
                    *self.own_headers(),
                ],
            }
        )

    async def write(self, data: bytes) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes = b"") -> None:
        await self.send({"type": "http.response.body", "body": data})

    async def fail(self, error: ApiError) -> None:
        """Answer with the error; an oversized or unread body also ends the connection."""
        headers = [JSON, *errors.extra_headers(error)]
        if error.status in (408, 413):
            headers.append(CLOSE)
        await self.respond(error.status, headers, self.error_body(error, self.request_id))


def too_large(limit: int) -> ApiError:
    return ApiError(413, f"The body is larger than {limit:,} bytes, which is the most this service takes.")
