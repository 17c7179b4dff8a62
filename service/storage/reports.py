"""Where reports are read: the replica when it answers and is not far behind, else the primary."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal, TypeVar

import asyncpg

from service.storage.database import Database, StoreUnavailable

Result = TypeVar("Result")
Source = Literal["primary", "replica"]

TURN_SECONDS: Final = 3.0
"""Longest wait for the reports before this one."""

# Nothing to replay means nothing is missing, however long ago the last transaction was. No row in recovery (a
# logical replica, a promoted one) has no position: such a server is taken as it is.
_BEHIND: Final = """
select coalesce(
    pg_last_wal_replay_lsn() < $1::text::pg_lsn
    and coalesce(now() - pg_last_xact_replay_timestamp() > $2 * interval '1 second', true),
    false
) as behind
"""


class Reports:
    """`behind_seconds`: older than this is not what a report should say. The primary makes one report at a
    time: its connections are for keys, budgets and the ledger.
    """

    def __init__(self, primary: Database, replica: Database | None, behind_seconds: float) -> None:
        self._primary = primary
        self._replica = replica
        self._behind_seconds = behind_seconds
        self._turn = asyncio.Semaphore(1)

    async def read(self, work: Callable[[Database], Awaitable[Result]]) -> tuple[Result, Source]:
        """What `work` reads, and where it did. Raises `StoreUnavailable` when neither server answers."""
        replica = self._replica
        if replica is not None and replica.available:
            try:
                if not await self._is_behind(replica):
                    return await work(replica), "replica"
            # The second: a query that stands in the way of the replay is cancelled.
            except (StoreUnavailable, asyncpg.TransactionRollbackError):
                pass
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            raise StoreUnavailable("postgres") from None
        try:
            return await work(self._primary), "primary"
        finally:
            self._turn.release()

    async def _is_behind(self, replica: Database) -> bool:
        """Whether the primary has written what the replica has not replayed for too long. While the primary
        is away nobody knows, and an old report is better than none.
        """
        if not self._primary.available:
            return False
        try:
            written = await self._primary.fetchrow("select pg_current_wal_lsn()::text as lsn")
        except StoreUnavailable:
            return False
        assert written is not None
        found = await replica.fetchrow(_BEHIND, written["lsn"], self._behind_seconds)
        assert found is not None
        return bool(found["behind"])
