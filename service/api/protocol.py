"""uvicorn's HTTP protocol with what a public server needs on top: a deadline and a size for request heads,
and word to the running request when its client goes away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service.api import errors
from service.api.errors import ApiError


class ApiProtocol(HttpToolsProtocol):
    """Settings are class attributes of a subclass made by `configured`, as uvicorn builds instances."""

    head_seconds: ClassVar[float] = 10.0
    head_bytes: ClassVar[int] = 32_768

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.on_disconnect: Callable[[], None] | None = None
        self._head_size = 0
        self._in_head = self._may_be_big = False
        # A balancer may open connections ahead of use: until the first byte only the idle limit holds.
        self._head_timer: asyncio.TimerHandle | None = self.loop.call_later(
            self.timeout_keep_alive, self._head_late
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        callback, self.on_disconnect = self.on_disconnect, None
        super().connection_lost(exc)
        if callback is not None:
            callback()

    def data_received(self, data: bytes) -> None:
        self._may_be_big = len(data) > self.head_bytes
        if self._in_head:
            self._head_size += len(data)
            if self._head_size > self.head_bytes:
                self._refuse(431, "The request's headers are too large.")
                return
            self._may_be_big = True
        super().data_received(data)
        if self._in_head and self._head_size == 0 and not self.transport.is_closing():
            # The head did not come in one piece: from here on it has a size and a deadline.
            self._head_size = len(data)
            self._stop_head_timer()
            self._head_timer = self.loop.call_later(self.head_seconds, self._head_late)

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_size = 0
        super().on_message_begin()
        self.scope["superagent.connection"] = self  # type: ignore[typeddict-unknown-key]

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_head_timer()
        if self._may_be_big and sum([len(n) + len(v) for n, v in self.headers]) > self.head_bytes:
            self._head_size = self.head_bytes + 1
            raise ValueError("head too large")  # the parser stops and calls `send_400_response`
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        self.on_disconnect = None
        super().on_response_complete()

    def answer(self, cycle: RequestResponseCycle, status: int, head: list[bytes], body: bytes) -> None:
        """A whole answer in one write: what `cycle.send` does in two, without looking at each header again.

        `head` holds complete header lines. The caller has waited for `cycle.flow` before.
        """
        if cycle.disconnected:
            return
        if not cycle.keep_alive:
            head.append(b"connection: close\r\n")
        lines = [b"%b: %b\r\n" % header for header in cycle.default_headers]
        end = b"\r\n" if cycle.scope["method"] == "HEAD" else b"\r\n" + body
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.transport.write(b"".join([STATUS_LINE[status], *lines, *head, end]))
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()

    def send_400_response(self, msg: str) -> None:
        if self._head_size > self.head_bytes:
            self._refuse(431, "The request's headers are too large.")
        else:
            self._refuse(400, "This is not a valid HTTP request.")

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        """There is no request to speak of yet, so no request id either."""
        body = errors.body(ApiError(status, message), "")
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        self.transport.close()


def configured(head_seconds: float, head_bytes: int) -> type[ApiProtocol]:
    """The protocol with these settings: uvicorn makes the instances, so they live on the class."""
    attributes: dict[str, Any] = {"head_seconds": head_seconds, "head_bytes": head_bytes}
    return type("ConfiguredProtocol", (ApiProtocol,), attributes)
