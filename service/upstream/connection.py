"""One keep-alive connection: an asyncio protocol that carries one exchange at a time.

One future and one timer serve a whole exchange. The timer is left running between exchanges and
looks, when it fires, whether anything is due: arming it for every call would cost more than the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

import httptools

from service.upstream.errors import UpstreamError, UpstreamErrorKind
from service.upstream.response import Response

HEAD_LIMIT: Final = 64 * 1024
HIGH_WATER: Final = 256 * 1024  # unread body bytes at which reading pauses
DRAIN_LIMIT: Final = 64 * 1024
DRAIN_SECONDS: Final = 1.0

# States of a connection, in the order they come. WAITING: sent, no final head yet.
IDLE, WAITING, BODY, DONE, DEAD = range(5)


class Connection(asyncio.Protocol):
    """Methods named `on_…` are called by httptools, `connection_…` and `data_received` by asyncio."""

    __slots__ = (
        "_body", "_drained", "_due", "_error", "_head_bytes", "_interim", "_keep", "_loop",
        "_lost", "_parser", "_paused", "_size", "_state", "_streaming", "_timer", "_timer_at", "_touched",
        "_transport", "_unread", "_waiter", "body_limit", "headers", "idle_since", "status", "used",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, body_limit: int, lost: Callable[[Connection], None]
    ) -> None:
        self._loop = loop
        self._lost = lost
        self.body_limit = body_limit
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._due = 0.0
        self._state = IDLE
        self._streaming = False
        self._touched = False
        self._interim = False
        self._keep = False
        self._paused = False
        self._head_bytes = 0
        self._size = 0
        self._unread = 0
        self._body: list[bytes] = []
        self._error: UpstreamError | None = None
        self._drained: Callable[[Connection], None] | None = None
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.idle_since = 0.0
        self.used = False  # has carried an exchange before

    # --- for the client -----------------------------------------------------------------------------

    @property
    def dead(self) -> bool:
        return self._state == DEAD or self._transport is None or self._transport.is_closing()

    def send(self, data: bytes, streaming: bool) -> None:
        """Start an exchange."""
        assert self._transport is not None
        if self._state == DEAD:
            raise self._error or UpstreamError("closed", "the upstream hung up", untouched=True)
        self._state = WAITING
        self._streaming = streaming
        self._touched = self._keep = False
        self._head_bytes = self._size = self._unread = 0
        self._body = []
        self.headers = {}
        self._transport.write(data)

    def whole(self, due: float) -> asyncio.Future[None]:
        """To be awaited once, right after `send`: done when the answer is whole or will never be, not later
        than `due` (loop time). Whoever is cancelled meanwhile aborts the connection.
        """
        self._due = due
        if self._timer is None:
            self._arm(due)
        elif self._timer_at > due:
            self._timer.cancel()
            self._arm(due)
        waiter = self._waiter = self._loop.create_future()
        return waiter

    def response(self) -> Response:
        """The whole answer, when `whole` is done. Raises `UpstreamError`."""
        if self._error is not None:
            raise self._error
        body = self._body
        return Response(self.status, self.headers, body[0] if len(body) == 1 else b"".join(body))

    async def head(self, due: float) -> None:
        """Return when status and headers are there."""
        while self._state == WAITING:
            await self._wait(due)
        self._raise_if_failed()

    async def read(self, due: float) -> bytes:
        """The next bytes of the body, b"" after the last."""
        while not self._unread and self._state == BODY:
            await self._wait(due)
        if self._unread:
            chunks, self._body, self._unread = self._body, [], 0
            if self._paused and self._transport is not None:
                self._paused = False
                self._transport.resume_reading()
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._raise_if_failed()
        return b""

    def drain(self, done: Callable[[Connection], None]) -> bool:
        """Wait in the background for the end of a body nobody needs; False when there is none to wait for.

        `done` is called when it came. After `DRAIN_SECONDS`, or many bytes, we hang up.
        """
        if self._state != BODY or self._unread:
            return False
        self._drained = done
        self._size = 0
        self._due = self._loop.time() + DRAIN_SECONDS
        if self._timer is not None:
            self._timer.cancel()
        self._arm(self._due)
        return True

    def park(self, now: float) -> bool:
        """The exchange is over; whether the connection can be used for another."""
        if self._state != DONE or not self._keep or self._unread:
            return False
        self._state = IDLE
        self._body = []
        self.used = True
        self.idle_since = now
        return True

    def abort(self) -> None:
        """Hang up now, whatever is going on."""
        self._fail("closed", "hung up by us")

    # --- waiting ------------------------------------------------------------------------------------

    async def _wait(self, due: float) -> None:
        """Until something comes or fails."""
        try:
            await self.whole(due)
        except asyncio.CancelledError:
            self.abort()
            raise

    def _arm(self, due: float) -> None:
        self._timer_at = due
        self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._waiter is None and self._drained is None:
            return
        if self._loop.time() >= self._due:
            self._fail("timeout", "no answer in time" if not self._touched else "the answer stopped")
        else:
            self._arm(self._due)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _raise_if_failed(self) -> None:
        if self._error is not None:
            raise self._error

    def _fail(self, kind: UpstreamErrorKind, message: str) -> None:
        if self._state == DEAD:
            return
        if self._state != DONE:
            self._error = UpstreamError(kind, message, untouched=not self._touched)
        self._die()

    def _die(self) -> None:
        self._state = DEAD
        self._drained = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()
        self._wake()
        self._lost(self)

    # --- asyncio ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state == IDLE or state >= DONE:
            # Nothing was asked: whatever this is, the connection is no longer in step.
            self._fail("protocol", "the upstream spoke out of turn")
            return
        self._touched = True
        if state == WAITING:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail("protocol", f"not HTTP ({type(error).__name__})")
            return
        if self._error is not None:
            self._die()
        elif self._state == WAITING and self._head_bytes > HEAD_LIMIT:
            self._fail("too_large", f"the response head is over {HEAD_LIMIT} bytes")
        elif self._drained is not None:
            self._drain_step()
        elif self._streaming:
            if self._unread > HIGH_WATER and not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
            if self._state != WAITING:
                self._wake()
        elif self._state == DONE:
            self._wake()

    def _drain_step(self) -> None:
        self._size += self._unread
        self._body, self._unread = [], 0
        if self._state == DONE and self._drained is not None:
            done, self._drained = self._drained, None
            done(self)
        elif self._size > DRAIN_LIMIT:
            self._fail("too_large", "the answer went on after its end")

    def connection_lost(self, exc: Exception | None) -> None:
        framed = not self.headers.keys().isdisjoint((b"content-length", b"transfer-encoding"))
        if self._state == BODY and not framed and exc is None:
            self._state = DONE  # a body without length ends with the connection: RFC 9112, 6.3
            self._keep = False
            self._wake()
            self._lost(self)
            return
        self._fail("closed", "the upstream hung up")

    # --- httptools ----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._state == DONE:
            self._keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._state != WAITING:
            return  # trailers
        name, headers = name.lower(), self.headers
        headers[name] = headers[name] + b", " + value if name in headers else value

    def on_headers_complete(self) -> None:
        if self._state != WAITING:
            return
        status = self.status = self._parser.get_status_code()
        if 100 <= status < 200:
            self._interim = True
            return
        coding = self.headers.get(b"content-encoding")
        if coding is not None and coding.lower() != b"identity":
            self._error = UpstreamError("protocol", "the answer is compressed, which was not asked for")
        self._state = BODY

    def on_body(self, body: bytes) -> None:
        if self._state != BODY:
            return
        self._body.append(body)
        self._unread += len(body)
        if not self._streaming and self._unread > self.body_limit:
            self._error = UpstreamError("too_large", f"the answer is over {self.body_limit} bytes")

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            self.headers = {}
            return
        if self._state == BODY:
            self._state = DONE
            self._keep = (
                self._parser.should_keep_alive()
                and self._transport is not None
                and not self._transport.get_write_buffer_size()
            )
            if not self._streaming:
                self._unread = 0
