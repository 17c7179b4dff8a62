"""The client of one origin: a pool of connections and two ways to ask."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Final

from service.upstream import dial
from service.upstream.connection import Connection
from service.upstream.errors import UpstreamError
from service.upstream.origin import Origin
from service.upstream.response import Response

CONTROL: Final = ("\r", "\n", "\0")


class Client:
    """Not safe across event loops: make it in the loop that uses it.

    Times are loop seconds for absolute moments (`due`), seconds for spans.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        connect_seconds: float = 5.0,
        max_connections: int = 512,
        idle_seconds: float = 30.0,
        max_body: int = 64 * 1024 * 1024,
        ca_file: str = "",
        proxy: Origin | None = None,
        allow_private: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.origin = origin
        self._connect_seconds = connect_seconds
        self._max = max_connections
        self._idle_seconds = idle_seconds
        self._max_body = max_body
        self._proxy = proxy
        self._allow_private = allow_private
        self._tls = (tls or dial.tls_context(ca_file)) if origin.tls else None
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._connecting = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def connections(self) -> int:
        """Open ones, busy or idle."""
        return len(self._open)

    def head(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        """Request line and headers up to the length: the same for every call, so built once."""
        lines = [f"{method} {self.origin.prefix}{path} HTTP/1.1", f"host: {self.origin.authority}"]
        lines.append("accept-encoding: identity")
        for name, value in headers.items():
            if any(char in name or char in value for char in CONTROL):
                raise ValueError(f"header {name!r} holds a control character")
            lines.append(f"{name}: {value}")
        return ("\r\n".join(lines) + "\r\n").encode("latin-1")

    async def request(self, head: bytes, body: bytes, due: float, most: int = 0) -> Response:
        """Ask and read the whole answer, of at most `most` bytes if that is less than usual. Raises
        `UpstreamError`.
        """
        data = b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)
        while True:
            connection = self._take() or await self._acquire(due)
            reused = connection.used
            connection.body_limit = most or self._max_body
            try:
                connection.send(data, streaming=False)
                await connection.whole(due)
                response = connection.response()
            except UpstreamError as error:
                if _stale(error, reused):
                    continue
                raise
            except asyncio.CancelledError:
                connection.abort()
                raise
            self._give_back(connection)
            return response

    async def stream(self, head: bytes, body: bytes, due: float) -> StreamingResponse:
        """Ask and return when status and headers are there, not later than `due`. Close the result."""
        data = b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)
        while True:
            connection = self._take() or await self._acquire(due)
            reused = connection.used
            try:
                connection.send(data, streaming=True)
                await connection.head(due)
            except UpstreamError as error:
                if _stale(error, reused):
                    continue
                raise
            return StreamingResponse(connection, self)

    async def close(self) -> None:
        """Close every connection, also the busy ones."""
        self._closed = True
        for connection in list(self._open):
            connection.abort()
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(None)

    # --- the pool -----------------------------------------------------------------------------------

    def _take(self) -> Connection | None:
        """The most recently used idle connection that is not too old."""
        while self._idle:
            connection = self._idle.pop()
            if connection.dead:
                continue
            assert self._loop is not None
            if self._loop.time() - connection.idle_since <= self._idle_seconds:
                return connection
            connection.abort()
        return None

    async def _acquire(self, due: float) -> Connection:
        self._loop = loop = asyncio.get_running_loop()
        while not self._closed:
            idle = self._take()
            if idle is not None:
                return idle
            if len(self._open) + self._connecting < self._max:
                return await self._connect(due)
            waiter = loop.create_future()
            self._queue.append(waiter)
            try:
                async with asyncio.timeout_at(due):
                    await waiter
            except BaseException as error:
                if waiter in self._queue:
                    self._queue.remove(waiter)
                elif waiter.done() and not waiter.cancelled():
                    self._next()  # our turn had come: pass it on
                if isinstance(error, TimeoutError):
                    raise UpstreamError("pool", "no connection was free in time", untouched=True) from None
                raise
        raise UpstreamError("closed", "the client is closed", untouched=True)

    async def _connect(self, due: float) -> Connection:
        assert self._loop is not None
        loop = self._loop
        self._connecting += 1
        try:
            async with asyncio.timeout_at(min(due, loop.time() + self._connect_seconds)):
                connection = await dial.connect(
                    lambda: Connection(loop, self._max_body, self._forget),
                    self.origin,
                    self._tls,
                    self._proxy,
                    self._allow_private,
                )
        except TimeoutError:
            self._next()
            raise UpstreamError("connect", "no connection in time", untouched=True) from None
        except BaseException:
            self._next()
            raise
        finally:
            self._connecting -= 1
        if connection.dead:
            self._next()
            raise UpstreamError("closed", "the upstream hung up at once", untouched=True)
        self._open.add(connection)
        if self._closed:
            connection.abort()
        return connection

    def _give_back(self, connection: Connection) -> None:
        assert self._loop is not None
        if self._closed or not connection.park(self._loop.time()):
            connection.abort()
            return
        self._idle.append(connection)
        if self._queue:
            self._next()

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._next()

    def _next(self) -> None:
        """Something became free: let the one that waits longest look."""
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


class StreamingResponse:
    """An answer whose body is read bit by bit. `close` always; early closing hangs up."""

    __slots__ = ("_client", "_connection", "headers", "status")

    def __init__(self, connection: Connection, client: Client) -> None:
        self._connection: Connection | None = connection
        self._client = client
        self.status = connection.status
        self.headers = connection.headers

    async def read(self, due: float) -> bytes:
        """The next bytes, b"" after the last. Raises `UpstreamError`, also when the body was cut."""
        if self._connection is None:
            return b""
        data = await self._connection.read(due)
        if not data:
            self.close()
        return data

    async def read_all(self, limit: int, due: float) -> bytes:
        """The rest of the body, cut at `limit`: for error answers."""
        parts: list[bytes] = []
        size = 0
        while size < limit and (data := await self.read(due)):
            parts.append(data)
            size += len(data)
        return b"".join(parts)[:limit]

    def close(self, *, whole: bool = False) -> None:
        """Give the connection back when the body was read to its end, else hang up.

        `whole`: the reader has all it needs and what follows is only the end of the framing, which
        may come a moment later; the connection waits for it in the background.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if whole and connection.drain(self._client._give_back):
            return
        self._client._give_back(connection)


def _stale(error: UpstreamError, reused: bool) -> bool:
    """A pooled connection that the upstream closed just before we wrote: safe to ask again.

    Nothing was answered. A model call changes nothing upstream but the bill, so that a repeat of the
    rare one that was begun is harmless.
    """
    return reused and error.kind == "closed" and error.untouched
