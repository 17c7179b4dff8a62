"""Postgres: one small pool that is allowed to be away. Every call has a deadline and one kind of failure."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from service.background import forever
from service.storage.login import Logins, connect

PROBE_SECONDS: Final = 1.0


class StoreUnavailable(Exception):
    """A store does not answer. Never a reason to call a client unknown: the API answers 503."""

    def __init__(self, store: str, retry_after: float = 2.0) -> None:
        self.store = store
        self.retry_after = retry_after
        super().__init__(f"{store} does not answer now")


# What a lost server looks like through asyncpg: refused, reset, shutting down, starting up, too many
# connections, or no schema yet; lost in the middle of a COPY, its own state machine is what complains.
_GONE: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.UndefinedTableError,
    asyncpg.ReadOnlySQLTransactionError,
)


class Database:
    """`available` is what the last call or probe found; `on_change` hears about every turn of it.

    `logins` say who each new connection is; without them it is the URL's user for ever.
    """

    def __init__(self, url: str, size: int = 4, timeout: float = 3.0, logins: Logins | None = None) -> None:
        self._url = url
        self._logins = logins
        self._size = size
        self._timeout = timeout
        self._pool: asyncpg.Pool | None = None
        self._prober: asyncio.Task[None] | None = None
        self.available = False
        self.reason = "not connected yet"
        self.on_change: list[Callable[[bool], None]] = []

    async def start(self) -> None:
        """Open the pool; a server that is away is no error. Connections are made when first needed."""
        self._pool = await asyncpg.create_pool(
            self._url,
            connect=functools.partial(connect, self._logins) if self._logins is not None else None,
            min_size=0,
            max_size=self._size,
            timeout=self._timeout,
            command_timeout=self._timeout,
            max_inactive_connection_lifetime=300,
            reset=_nothing_to_reset,
            server_settings={"application_name": "superagent"},
        )
        await self._probe()
        self._prober = forever(self._probe_for_ever, "postgres-probe")

    async def close(self) -> None:
        if self._prober is not None:
            self._prober.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._prober
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), self._timeout)
            except (TimeoutError, OSError):
                self._pool.terminate()

    @asynccontextmanager
    async def connection(self, seconds: float | None = None) -> AsyncIterator[Any]:
        """Borrow a connection. Raises `StoreUnavailable` when there is none, or when it is lost meanwhile."""
        if self._pool is None:
            raise StoreUnavailable("postgres")
        limit = seconds or self._timeout
        try:
            async with asyncio.timeout(limit), self._pool.acquire(timeout=limit) as connection:
                yield connection
        except _GONE as error:
            self._note(False, _sentence(error))
            raise StoreUnavailable("postgres") from error
        self._note(True, "")

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        async with self.connection() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(query, *arguments)
        return rows

    async def fetchrow(self, query: str, *arguments: Any) -> asyncpg.Record | None:
        rows = await self.fetch(query, *arguments)
        return rows[0] if rows else None

    async def execute(self, query: str, *arguments: Any) -> str:
        async with self.connection() as connection:
            status: str = await connection.execute(query, *arguments)
        return status

    async def _probe_for_ever(self) -> None:
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            await self._probe()

    async def _probe(self) -> None:
        with contextlib.suppress(StoreUnavailable):
            await self.fetch("select 1 from api_keys limit 1")

    def _note(self, available: bool, reason: str) -> None:
        self.reason = reason
        if available != self.available:
            self.available = available
            for listener in self.on_change:
                listener(available)


async def _nothing_to_reset(_: Any) -> None:
    """Nothing here changes a session: locks belong to transactions, listeners have connections of their own.
    So a returned connection needs no round trip; asyncpg still rolls an open transaction back.
    """


def _sentence(error: BaseException) -> str:
    if isinstance(error, asyncpg.UndefinedTableError):
        return "the schema is missing: run `python -m service migrate`"
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return "it refuses the user or password"
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    return "it cannot be reached"
