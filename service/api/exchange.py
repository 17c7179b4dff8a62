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

JSON: Final = (b"content-type", b"application/json")
EVENTS: Final = (b"content-type", b"text/event-stream; charset=utf-8")
CLIENT_CLOSED: Final = 499

# Ids are unique for ever without asking anybody: 64 random bits a process, and a counter.
_BOOT: Final = os.urandom(8).hex()
_COUNTER: Final = itertools.count(1)


class Exchange:
    """`status` is 0 until the head is sent; `seconds()` is the age of the request."""

    __slots__ = (
        "body_deadline", "common", "describe", "disconnected", "fields", "headers", "method", "path",
        "principal", "receive", "request_id", "response_headers", "scope", "send", "started", "status",
        "task", "template", "timed_out",
    )  # fmt: skip

    def __init__(
        self,
        scope: Any,
        receive: Any,
        send: Any,
        common: Headers,
        describe: Callable[[Exception, Exchange], ApiError],
    ) -> None:
        self.describe = describe
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
        await self.send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    *headers,
                    (b"content-length", b"%d" % len(body)),
                    (b"x-request-id", self.request_id.encode()),
                    *self.common,
                    *self.response_headers,
                ],
            }
        )
        await self.send({"type": "http.response.body", "body": body})

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
                    (b"x-request-id", self.request_id.encode()),
                    *self.common,
                    *self.response_headers,
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
            headers.append((b"connection", b"close"))
        await self.respond(error.status, headers, errors.body(error, self.request_id))


def too_large(limit: int) -> ApiError:
    return ApiError(413, f"The body is larger than {limit:,} bytes, which is the most this service takes.")
