"""Settings that may change while the service runs: kept in Postgres, followed by every node within seconds.

A name without a row has the value of the environment. While Postgres is away the last values stay.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from service.background import forever
from service.storage.database import Database, StoreUnavailable

POLL_SECONDS: Final = 1.0


class Runtime(Struct, frozen=True):
    """One setting that is safe to change: whole numbers, within bounds, undone by another value."""

    name: str
    minimum: int
    maximum: int
    unit: str
    meaning: str


class RuntimeSettings:
    """`apply` hears each new value of a setting, once when it starts if a row differs from `given`."""

    def __init__(
        self, database: Database, known: dict[str, tuple[Runtime, int, Callable[[int], None]]]
    ) -> None:
        """`known` maps a name to the setting, its value from the environment, and who follows it."""
        self._database = database
        self._known = known
        self._values = {name: given for name, (_, given, _) in known.items()}
        self._changed: dict[str, dict[str, Any]] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._look()
        self._task = forever(self._follow, "runtime-settings")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def known(self, name: str) -> Runtime | None:
        found = self._known.get(name)
        return found[0] if found is not None else None

    def names(self) -> list[str]:
        return sorted(self._known)

    async def describe(self, name: str) -> dict[str, Any]:
        """The setting as it is stored now. Raises `StoreUnavailable`."""
        await self.refresh()
        setting, given, _ = self._known[name]
        row = self._changed.get(name)
        return {
            "name": name,
            "value": self._values[name],
            "source": "runtime" if row is not None else "environment",
            "environment": given,
            "minimum": setting.minimum,
            "maximum": setting.maximum,
            "unit": setting.unit,
            "meaning": setting.meaning,
            "updated_at": row["updated_at"].isoformat() if row is not None else None,
            "updated_by": row["updated_by"] if row is not None else None,
        }

    async def put(self, name: str, value: int, actor: str) -> None:
        """Change it here now, at the other nodes with their next look. Raises `StoreUnavailable`."""
        await self._database.execute(
            "insert into runtime_settings (name, value, updated_by) values ($1, $2, $3) "
            "on conflict (name) do update set value = $2, updated_by = $3, updated_at = now()",
            name,
            value,
            actor,
        )
        await self.refresh()

    async def remove(self, name: str) -> None:
        """Back to the environment's value. Raises `StoreUnavailable`."""
        await self._database.execute("delete from runtime_settings where name = $1", name)
        await self.refresh()

    async def refresh(self) -> None:
        rows = await self._database.fetch("select name, value, updated_at, updated_by from runtime_settings")
        self._changed = {row["name"]: dict(row) for row in rows if row["name"] in self._known}
        for name, (setting, given, apply) in self._known.items():
            row = self._changed.get(name)
            # A row of another version may lie outside of what this one allows.
            value = given if row is None else min(max(row["value"], setting.minimum), setting.maximum)
            if value != self._values[name]:
                self._values[name] = value
                apply(value)

    async def _look(self) -> None:
        with contextlib.suppress(StoreUnavailable):
            await self.refresh()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self._look()
