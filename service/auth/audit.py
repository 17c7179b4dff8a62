"""Audit events: every failed attempt and admin action by itself, successes summed per client and minute.

Events wait in memory and reach Postgres in batches; admin actions are written with the change they describe.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import Any, Final

import orjson

from service.background import forever
from service.storage.database import Database, StoreUnavailable
from service.telemetry.logs import JsonLog
from service.telemetry.metrics import Metrics

KEPT: Final = 20_000
EVERY_SECONDS: Final = 1.0
SUCCESS_SECONDS: Final = 60.0

INSERT: Final = (
    "insert into audit_events (type, actor, address, request_id, count, details) "
    "values ($1, $2, $3, $4, $5, $6::text::jsonb)"
)
Event = tuple[str, str, str, str, int, str]


class Audit:
    """`add` and `success` never wait and never raise; of too many events the oldest go (all are logged)."""

    def __init__(self, database: Database, metrics: Metrics, log: JsonLog) -> None:
        self._database = database
        self._metrics = metrics
        self._log = log
        self._waiting: deque[Event] = deque()
        self._successes: dict[str, int] = {}
        self._summed = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = forever(self._run, "audit")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._sum_up()
        with contextlib.suppress(StoreUnavailable):
            await self.flush()

    def event(self, kind: str, actor: str, address: str, request_id: str, **details: Any) -> Event:
        """An event, also counted and logged; the caller stores it or hands it to `add`."""
        self._metrics.security_events.labels(kind).inc()
        fields = {"type": kind, "actor": actor, "address": address, "request_id": request_id, **details}
        self._log.write("info", "audit", fields)
        return (kind, actor[:200], address[:64], request_id, 1, orjson.dumps(details).decode())

    def add(self, event: Event) -> None:
        if len(self._waiting) >= KEPT:
            self._waiting.popleft()
        self._waiting.append(event)

    def limited(self) -> None:
        """An attempt was refused unseen, because its address had too many failures."""
        self._metrics.rate_limited.labels("auth").inc()

    def success(self, actor: str) -> None:
        """A credential was verified against the store (what memory answers is the same attempt going on)."""
        self._successes[actor] = self._successes.get(actor, 0) + 1

    def _sum_up(self) -> None:
        self._summed = time.monotonic()
        for actor, count in self._successes.items():
            self._metrics.security_events.labels("auth_success").inc(count)
            self.add(("auth_success", actor, "", "", count, "{}"))
        self._successes.clear()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if time.monotonic() - self._summed >= SUCCESS_SECONDS:
                self._sum_up()
            with contextlib.suppress(StoreUnavailable):
                await self.flush()

    async def flush(self) -> None:
        """Write what waits. Raises `StoreUnavailable`; then it still waits."""
        while self._waiting:
            batch = list(self._waiting)[:500]
            async with self._database.connection() as connection:
                await connection.executemany(INSERT, batch)
            for _ in batch:
                self._waiting.popleft()
