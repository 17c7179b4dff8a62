"""One shared connection to Redis or Valkey that pipelines by itself: commands of one tick of the event loop
leave in one write, replies resolve in order. Measured against redis-py: a quarter of the CPU per command.

A server that is slower than the timeout counts as gone: everything pending fails at once, callers fall back,
and a background task reconnects until the server answers in time again.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import hiredis

from service.background import forever
from service.storage.database import StoreUnavailable

pack: Final[Callable[[tuple[Any, ...]], bytes]] = hiredis.pack_command
RETRY_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0)
POST_SECONDS: Final = 0.002  # what nobody waits for leaves with the next command, after this at the latest


class RedisError(Exception):
    """The server answered a command with an error (`WRONGTYPE …`, `NOSCRIPT …`, `MOVED …`)."""


class Address:
    """What a `redis://` or `rediss://` URL says.

    User and password are those of the moment of connecting, where `follow` gives the URL as it is then.
    """

    def __init__(self, url: str, follow: Callable[[], str] | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
            raise ValueError("a Redis URL reads redis://[user:password@]host:port/db (rediss:// with TLS)")
        self.host: str = parts.hostname
        self.port: int = parts.port or 6379
        self.tls = ssl.create_default_context() if parts.scheme == "rediss" else None
        self.database = int(parts.path.strip("/") or 0)
        self._url = url
        self._follow = follow or (lambda: url)

    def at(self, host: str, port: int) -> Address:
        """The same credentials on another node."""
        other = object.__new__(Address)
        other.__dict__.update(self.__dict__, host=host, port=port)
        return other

    def handshake(self) -> list[tuple[Any, ...]]:
        """The commands that open a connection made now."""
        commands: list[tuple[Any, ...]] = []
        now, start = urlsplit(self._follow()), urlsplit(self._url)
        login = now if now.hostname == start.hostname else start  # another server is a restart's business
        if login.password:
            user, password = unquote(login.username or ""), unquote(login.password)
            commands.append(("AUTH", user, password) if user else ("AUTH", password))
        if self.database:
            commands.append(("SELECT", self.database))
        return commands


# Who waits (nobody, where all was posted), how many replies to posted commands come before, how many come
# with them, since when (loop seconds).
_Pending = tuple[asyncio.Future[list[Any]] | None, int, int, float]


class _Connection(asyncio.Protocol):
    """Bytes in, replies out; knows nothing of reconnecting."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reader = hiredis.Reader(replyError=RedisError)
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._leaving = self._posting = False
        self._posted = 0  # replies to what was posted since the last command
        self._replies: list[Any] = []
        self.pending: deque[_Pending] = deque()
        self.closed: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        reader, pending, replies = self._reader, self.pending, self._replies
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not False:
                replies.append(reply)
                future, posted, total, _ = pending[0]
                if len(replies) < total:
                    continue
                pending.popleft()
                if future is not None and not future.done():
                    future.set_result(replies[posted:] if posted else replies)
                replies = self._replies = []
        except (hiredis.ProtocolError, IndexError):
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        while self.pending:
            future = self.pending.popleft()[0]
            if future is not None and not future.done():
                future.set_exception(StoreUnavailable("redis"))
        if not self.closed.done():
            self.closed.set_result(None)

    def send(self, data: bytes, expected: int) -> asyncio.Future[list[Any]]:
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        if self._transport is None:
            future.set_exception(StoreUnavailable("redis"))
            return future
        posted, self._posted = self._posted, 0
        self.pending.append((future, posted, posted + expected, self._loop.time()))
        if not self._leaving:
            self._leaving = True
            self._loop.call_soon(self._flush)
        self._out.append(data)
        return future

    def post(self, data: bytes, expected: int) -> None:
        """As `send`, for what nobody waits for: it leaves with the next command or a moment later."""
        if self._transport is None:
            return
        self._posted += expected
        self._out.append(data)
        if not self._leaving and not self._posting:
            self._posting = True
            self._loop.call_later(POST_SECONDS, self._flush_posted)

    def _flush_posted(self) -> None:
        self._posting = False
        self._flush()

    def _flush(self) -> None:
        self._leaving = False
        if self._posted:
            self.pending.append((None, self._posted, self._posted, self._loop.time()))
            self._posted = 0
        data, self._out = b"".join(self._out), []
        if data and self._transport is not None:
            self._transport.write(data)

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class RedisLink:
    """`available` tells whether calls make sense now; `on_change` hears every turn of it, `on_connect` runs
    before a fresh connection is used (scripts are loaded there).
    """

    def __init__(self, address: Address, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._connection: _Connection | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.available = False
        self.on_change: list[Callable[[bool], None]] = []
        self.on_connect: list[Callable[[RedisLink], Awaitable[None]]] = []

    async def start(self) -> None:
        """Connect once, then keep connected in the background; a server that is away is no error."""
        first = asyncio.Event()
        self._keeper = forever(lambda: self._keep(first), "redis-link")
        await first.wait()

    async def close(self) -> None:
        self.on_change.clear()  # an end is no outage
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        if self._connection is not None:
            self._connection.drop()

    def send(self, data: bytes, expected: int = 1, tag: str = "") -> asyncio.Future[list[Any]]:
        """Send packed commands; the future has one reply each, errors as `RedisError` objects in the list.

        `tag` matters to a cluster only. Raises `StoreUnavailable`, at once or through the future.
        """
        if not self.available or self._connection is None:
            raise StoreUnavailable("redis")
        return self._connection.send(data, expected)

    def post(self, data: bytes, expected: int = 1, tag: str = "") -> None:
        """Send and forget: for what may be lost."""
        if self.available and self._connection is not None:
            self._connection.post(data, expected)

    async def call(self, *command: Any, tag: str = "") -> Any:
        """One command, one reply. Raises `RedisError` or `StoreUnavailable`."""
        reply = (await self.send(pack(command)))[0]
        if isinstance(reply, RedisError):
            raise reply
        return reply

    async def repair(self) -> None:
        """What a cluster does after an error; one server needs its scripts again."""
        for prepare in self.on_connect:
            await prepare(self)

    async def _keep(self, first: asyncio.Event) -> None:
        failures = 0
        watchdog: asyncio.Task[None] | None = None
        while True:
            try:
                async with asyncio.timeout(self._timeout * 4):
                    connection = await self._connect()
                self._connection = connection
                failures = 0
                self._turn(True)
                first.set()
                watchdog = asyncio.create_task(self._watch(connection))
                await connection.closed
            except (OSError, TimeoutError, StoreUnavailable, RedisError, ssl.SSLError):
                pass
            finally:
                self._turn(False)
                first.set()
                if watchdog is not None:
                    watchdog.cancel()
            await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
            failures += 1

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        address = self._address
        _, connection = await loop.create_connection(
            lambda: _Connection(loop), address.host, address.port, ssl=address.tls
        )
        try:
            for command in address.handshake():
                _raise(await connection.send(pack(command), 1))
            async with asyncio.timeout(self._timeout):
                await connection.send(pack(("PING",)), 1)
            fresh = RedisLink(address, self._timeout)
            fresh._connection, fresh.available = connection, True
            for prepare in self.on_connect:
                await prepare(fresh)
        except BaseException:
            connection.drop()
            raise
        return connection

    async def _watch(self, connection: _Connection) -> None:
        """Drop the connection when its oldest command waits too long. A loop that was busy itself gets a
        second look after it has read what lies in the socket.
        """
        while not connection.closed.done():
            await asyncio.sleep(self._timeout / 4)
            if self._overdue(connection):
                await asyncio.sleep(0.005)
                if self._overdue(connection):
                    connection.drop()

    def _overdue(self, connection: _Connection) -> bool:
        now = asyncio.get_running_loop().time()
        return bool(connection.pending) and now - connection.pending[0][3] > self._timeout

    def _turn(self, available: bool) -> None:
        if available != self.available:
            self.available = available
            for listener in self.on_change:
                listener(available)


def _raise(replies: list[Any]) -> None:
    for reply in replies:
        if isinstance(reply, RedisError):
            raise reply
