"""Brings journal rows into Postgres: batches by COPY, exactly once by request id, in the background.

The position is written after the commit; a death in between ships some rows twice, which the primary key
makes harmless. What Postgres refuses for its content goes to `rejected.journal` and never blocks the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import asyncpg
import msgspec
from msgspec import Struct

from service.storage.database import Database, StoreUnavailable
from service.storage.journal import Journal, parse
from service.storage.usage import COLUMNS, UsageRow

BATCH_BYTES: Final = 512 * 1024
EVERY_SECONDS: Final = 0.25
RETRY_SECONDS: Final = 1.0

_INCOMING: Final = (
    "create temp table if not exists usage_incoming (like usage including defaults) on commit delete rows"
)
_SETTLE: Final = """
with fresh as (
    insert into usage select * from usage_incoming on conflict (request_id) do nothing
    returning key_id, at, cost_usd
)
insert into key_usage (key_id, month, requests, cost_usd, last_used_at)
select key_id, date_trunc('month', at at time zone 'utc')::date, count(*), sum(cost_usd), max(at)
from fresh group by 1, 2 order by 1, 2
on conflict (key_id, month) do update set
    requests = key_usage.requests + excluded.requests,
    cost_usd = key_usage.cost_usd + excluded.cost_usd,
    last_used_at = greatest(key_usage.last_used_at, excluded.last_used_at)
"""


class Position(Struct):
    segment: int = 0
    offset: int = 0


class Shipper:
    """One background task. `on_pending` hears the number of rows that wait."""

    def __init__(
        self,
        journal: Journal,
        database: Database,
        on_pending: Callable[[int], None],
        on_rejected: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._database = database
        self._on_pending = on_pending
        self._on_rejected = on_rejected
        self._position = Position()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._position = self._read_position()
        self._journal.pending = sum(1 for _ in self._waiting())
        self._on_pending(self._journal.pending)
        self._task = asyncio.create_task(self._run(), name="usage-shipper")

    async def close(self, seconds: float = 5.0) -> None:
        """Ship what is left if that works within `seconds`; the rest is shipped after the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        with contextlib.suppress(TimeoutError, StoreUnavailable):
            async with asyncio.timeout(seconds):
                while await self.ship():
                    pass
        self._journal.sync()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        synced = loop.time()
        while True:
            pause = EVERY_SECONDS
            self._journal.retry()
            try:
                while await self.ship():
                    pass
            except StoreUnavailable:
                pause = RETRY_SECONDS
            self._on_pending(self._journal.pending)
            if loop.time() - synced >= 1.0 and self._journal.dirty:
                synced = loop.time()
                with contextlib.suppress(OSError):
                    await loop.run_in_executor(None, self._journal.sync)
            await asyncio.sleep(pause)

    async def ship(self) -> bool:
        """One batch; False when nothing was left. Raises `StoreUnavailable`."""
        segment, offset, data = self._next()
        if segment == 0:
            return False
        rows = [line.row for line in parse(data) if not line.open]
        if rows:
            await self._store(rows)
            self._journal.pending = max(0, self._journal.pending - len(rows))
        self._position = Position(segment, offset + len(data))
        self._write_position()
        self._prune()
        return True

    def _next(self) -> tuple[int, int, bytes]:
        """The next unread whole lines: (segment, offset, data); segment 0 when there are none."""
        for segment in self._journal.segments():
            if segment < self._position.segment:
                continue
            offset = self._position.offset if segment == self._position.segment else 0
            with self._journal.path(segment).open("rb") as file:
                file.seek(offset)
                data = file.read(BATCH_BYTES)
            end = data.rfind(b"\n") + 1
            if end:
                return segment, offset, data[:end]
        return 0, 0, b""

    def _waiting(self) -> list[UsageRow]:
        rows: list[UsageRow] = []
        for segment in self._journal.segments():
            if segment < self._position.segment:
                continue
            offset = self._position.offset if segment == self._position.segment else 0
            data = self._journal.path(segment).read_bytes()[offset:]
            rows += [line.row for line in parse(data) if not line.open]
        return rows

    async def _store(self, rows: list[UsageRow]) -> None:
        try:
            await self._copy([row.record() for row in rows])
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError, OverflowError):
            for row in rows:
                await self._store_alone(row)

    async def _store_alone(self, row: UsageRow) -> None:
        try:
            await self._copy([row.record()])
        except (
            asyncpg.DataError,
            asyncpg.IntegrityConstraintViolationError,
            ValueError,
            OverflowError,
        ) as error:
            with (self._journal.folder / "rejected.journal").open("ab") as file:
                file.write(msgspec.json.encode(row) + b"\n")
            self._on_rejected(f"{row.request_id}: {type(error).__name__}")

    async def _copy(self, records: list[tuple[Any, ...]]) -> None:
        async with self._database.connection(10.0) as connection, connection.transaction():
            await connection.execute(_INCOMING)
            await connection.copy_records_to_table("usage_incoming", records=records, columns=COLUMNS)
            await connection.execute(_SETTLE)

    # --- where we are

    def _read_position(self) -> Position:
        try:
            return msgspec.json.decode((self._journal.folder / "position").read_bytes(), type=Position)
        except (OSError, msgspec.MsgspecError):
            return Position()  # everything again: the primary key makes that harmless

    def _write_position(self) -> None:
        fresh = self._journal.folder / "position.new"
        with contextlib.suppress(OSError):
            fresh.write_bytes(msgspec.json.encode(self._position))
            fresh.replace(self._journal.folder / "position")

    def _prune(self) -> None:
        """Delete what is shipped, oldest first; a segment in which an open stream began stays."""
        oldest_open = min(self._journal.streams.values(), default=self._journal.segment)
        for segment in self._journal.segments():
            if segment >= min(self._position.segment, self._journal.segment, oldest_open):
                return
            self._journal.path(segment).unlink(missing_ok=True)
