"""Ended debates leave after some days, a few at a time; every node does it, none twice. The ledger stays."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from service.background import forever
from service.debates.store import Store
from service.storage.database import StoreUnavailable
from service.telemetry.logs import JsonLog

EVERY_SECONDS: Final = 600.0
BATCH: Final = 100
PAUSE_SECONDS: Final = 0.2
"""Between two batches: other work of the database goes first."""


class Retention:
    """One background task; 0 days keep everything."""

    def __init__(self, store: Store, log: JsonLog, days: int) -> None:
        self._store = store
        self._log = log
        self._days = days
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._days:
            self._task = forever(self._run, "debate-retention")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def sweep(self) -> int:
        """Remove all that is old enough; their number. Raises `StoreUnavailable`."""
        removed = 0
        while count := await self._store.forget(self._days, BATCH):
            removed += count
            if count < BATCH:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        return removed

    async def _run(self) -> None:
        while True:
            try:
                if removed := await self.sweep():
                    self._log.write("info", "debates_removed", {"debates": removed, "days": self._days})
            except StoreUnavailable:
                pass  # the next look finds the same
            await asyncio.sleep(EVERY_SECONDS)
