"""Brings journal rows into Postgres: batches by COPY, exactly once by request id, in the background.

The position is written after the commit; a death in between ships some rows twice, which the primary key
makes harmless. What Postgres refuses for its content goes to `rejected.journal` and never blocks the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from collections.abc import Callable
from typing import Any, Final

import asyncpg
import msgspec
from msgspec import Struct

from service.background import forever
from service.storage.database import Database, StoreUnavailable
from service.storage.journal import Journal
from service.storage.usage import BOOKED, COLUMNS, SCORED

BATCH_BYTES: Final = 512 * 1024
EVERY_SECONDS: Final = 0.5
RETRY_SECONDS: Final = 1.0
POSITION_BYTES: Final = 64
LOST: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

# The incoming table is of this release's own making: a schema that is ahead or behind does not matter to it.
_INCOMING: Final = """
create temp table if not exists usage_incoming (
    kind text, request_id text, at double precision, key_id text, endpoint text, model text, provider text,
    provider_model text, input_tokens bigint, output_tokens bigint, cached_tokens bigint,
    cost_usd numeric(18, 9), latency_ms double precision, ttft_ms double precision, cache text, outcome text,
    attempts integer, stream boolean
) on commit delete rows
"""
_SETTLE: Final = f"""
with fresh as (
    insert into usage ({", ".join(COLUMNS)})
    select {", ".join("to_timestamp(at)" if column == "at" else column for column in COLUMNS)}
    from usage_incoming where kind = 'r'
    on conflict (request_id) do nothing
    returning key_id, at, cost_usd
)
insert into key_usage (key_id, month, requests, cost_usd, last_used_at)
select key_id, date_trunc('month', at at time zone 'utc')::date, count(*), sum(cost_usd), max(at)
from fresh group by 1, 2 order by 1, 2
on conflict (key_id, month) do update set
    requests = key_usage.requests + excluded.requests,
    cost_usd = key_usage.cost_usd + excluded.cost_usd,
    last_used_at = greatest(key_usage.last_used_at, excluded.last_used_at)
"""  # noqa: S608  # column names from this code

_SCORE: Final = """
update usage set quality = latest.score from (
    select distinct on (request_id) request_id, latency_ms as score from usage_incoming
    where kind = 'q' order by request_id, at desc
) latest where usage.request_id = latest.request_id
"""


class Position(Struct):
    segment: int = 0
    offset: int = 0


class Shipper:
    """One background task; `journal.pending` is at any time the number of rows that wait."""

    def __init__(
        self,
        journal: Journal,
        database: Database,
        on_rejected: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._database = database
        self._on_rejected = on_rejected
        self._position = Position()
        self._position_file = -1
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._position = self._read_position()
        self._journal.pending = self._waiting()
        self._task = forever(self._run, "usage-shipper")

    async def close(self, seconds: float = 5.0) -> None:
        """Ship what is left if that works within `seconds`; the rest is shipped after the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        with contextlib.suppress(Exception):  # whatever it is: the journal stays, and the next start ships it
            async with asyncio.timeout(seconds):
                while self._next()[0]:
                    await self.ship()
        self._journal.sync()
        if self._position_file >= 0:
            os.close(self._position_file)
            self._position_file = -1

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
            if loop.time() - synced >= 1.0 and self._journal.dirty:
                synced = loop.time()
                with contextlib.suppress(OSError):
                    await loop.run_in_executor(None, self._journal.sync)
            await asyncio.sleep(pause)

    async def ship(self) -> bool:
        """One batch; True when it was a full one and more may wait. Raises `StoreUnavailable`."""
        segment, offset, data = self._next()
        if segment == 0:
            return False
        count = booked(data)
        if count or scored(data):
            await self._store(data)
            self._journal.pending = max(0, self._journal.pending - count)
        self._position = Position(segment, offset + len(data))
        self._write_position()
        self._prune()
        return segment < self._journal.segment or len(data) > BATCH_BYTES // 2

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

    def _waiting(self) -> int:
        count = 0
        for segment in self._journal.segments():
            if segment >= self._position.segment:
                offset = self._position.offset if segment == self._position.segment else 0
                count += booked(self._journal.path(segment).read_bytes()[offset:])
        return count

    async def _store(self, data: bytes) -> None:
        try:
            await self._copy(data)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError):
            for line in data.splitlines(keepends=True):
                if line.startswith((BOOKED, SCORED)):
                    await self._store_alone(line)

    async def _store_alone(self, line: bytes) -> None:
        try:
            await self._copy(line)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            with (self._journal.folder / "rejected.journal").open("ab") as file:
                file.write(line)
            request_id = line.split(b"\t", 2)[1].decode(errors="replace")
            self._on_rejected(f"{request_id}: {type(error).__name__}")

    async def _copy(self, data: bytes) -> None:
        """One transaction, in as few round trips as it takes: each costs this process a tenth of a
        millisecond, whatever the number of rows.
        """
        async with self._database.connection(10.0) as connection:
            try:
                await connection.execute("begin;" + _INCOMING)
                # The driver leaves the source in a reference cycle: closed, it holds no batch meanwhile.
                with io.BytesIO(data) as source:
                    await connection.copy_to_table("usage_incoming", source=source, format="text")
                if scored(data):
                    await connection.execute(_SETTLE)
                    await self._score(connection)
                    await connection.execute("commit")
                else:
                    await connection.execute(_SETTLE + "; commit")
            except BaseException:
                with contextlib.suppress(*LOST):
                    await connection.execute("rollback")
                raise

    async def _score(self, connection: Any) -> None:
        """A schema of the version before lacks the column: the rows count, the scores do not."""
        try:
            await connection.execute("savepoint scores;" + _SCORE)
        except asyncpg.UndefinedColumnError:
            await connection.execute("rollback to savepoint scores")

    # --- where we are

    def _read_position(self) -> Position:
        try:
            return msgspec.json.decode(os.pread(self._opened(), POSITION_BYTES, 0), type=Position)
        except (OSError, msgspec.MsgspecError):
            return Position()  # everything again: the primary key makes that harmless

    def _write_position(self) -> None:
        """In place: renaming a new file over the old one makes ext4 write it out, which holds the loop up for
        milliseconds. JSON may end in spaces, and a torn one only ships some rows twice.
        """
        with contextlib.suppress(OSError):
            os.pwrite(self._opened(), msgspec.json.encode(self._position).ljust(POSITION_BYTES), 0)

    def _opened(self) -> int:
        if self._position_file < 0:
            path = self._journal.folder / "position"
            self._position_file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._position_file

    def _prune(self) -> None:
        """Delete what is shipped, oldest first; a segment in which an open stream began stays."""
        oldest_open = min(self._journal.streams.values(), default=self._journal.segment)
        for segment in self._journal.segments():
            if segment >= min(self._position.segment, self._journal.segment, oldest_open):
                return
            self._journal.path(segment).unlink(missing_ok=True)


def booked(data: bytes) -> int:
    """How many rows lie in these lines."""
    return data.count(b"\n" + BOOKED + b"\t") + data.startswith(BOOKED + b"\t")


def scored(data: bytes) -> bool:
    """Whether there is a score among these lines."""
    return data.startswith(SCORED + b"\t") or b"\n" + SCORED + b"\t" in data
