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
from service.storage.migrate import MIGRATIONS

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
    asyncpg.UndefinedColumnError,
    asyncpg.ReadOnlySQLTransactionError,
)


MISSING: Final = "the schema is missing: run `python -m service migrate`"
OLD: Final = "the schema is older than this service: run `python -m service migrate`"
REFUSED: Final = "it refuses the user or password: run `python -m service migrate` or mend the URL"
_UNPREPARED: Final = frozenset({MISSING, REFUSED})  # it answers, and nothing can work
NEWEST: Final = max([path.name.partition("_")[0] for path in MIGRATIONS.glob("*.sql")])


class Database:
    """`available` is what the last call or probe found; that nothing answers in time, only a probe finds.
    `on_change` hears the first finding and every turn of it. A server without our schema or user is not
    available, whatever else it answers: only a probe that finds the newest migration ends that. `unready`
    says so while this process never saw it.

    `logins` say who each new connection is; without them it is the URL's user for ever.
    """

    def __init__(self, url: str, size: int = 4, timeout: float = 3.0, logins: Logins | None = None) -> None:
        self._url = url
        self._logins = logins
        self._size = size
        self._timeout = timeout
        self._pool: asyncpg.Pool | None = None
        self._prober: asyncio.Task[None] | None = None
        self._usable = self._seen = False  # the schema was there at the last look, and ever
        self._told: tuple[bool, str] | None = None
        self.available = False
        self.unready = ""
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
                async with asyncio.timeout(self._timeout):
                    await self._pool.close()
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
            sentence = _sentence(error)
            if sentence in _UNPREPARED:
                self._lacks(OLD if self.reason == OLD and sentence == MISSING else sentence)
            elif not isinstance(error, TimeoutError):  # one slow query is no outage: the probe finds out
                self._note(False, sentence)
            raise StoreUnavailable("postgres") from error
        if self._usable:
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
        try:
            row = await self.fetchrow("select max(version) as version from schema_migrations")
        except StoreUnavailable as error:
            if isinstance(error.__cause__, TimeoutError):
                self._note(False, _sentence(error.__cause__))
            return
        except asyncpg.InsufficientPrivilegeError:
            row = None  # a user that may not look is trusted to have been given the right schema
        if row is not None and (row["version"] or "") < NEWEST:
            self._lacks(OLD if row["version"] else MISSING)
            return
        self._usable = self._seen = True
        self.unready = ""
        self._note(True, "")

    def _lacks(self, sentence: str) -> None:
        if not self._seen:
            self.unready = sentence
        self._usable = False
        self._note(False, sentence)

    def _note(self, available: bool, reason: str) -> None:
        self.reason, self.available = reason, available
        now = (available, self.unready)
        if now != self._told:
            self._told = now
            for listener in self.on_change:
                listener(available)


async def _nothing_to_reset(_: Any) -> None:
    """Nothing here changes a session: locks belong to transactions, listeners have connections of their own.
    So a returned connection needs no round trip; asyncpg still rolls an open transaction back.
    """


def _sentence(error: BaseException) -> str:
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
        return MISSING
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return REFUSED
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    return "it cannot be reached"
