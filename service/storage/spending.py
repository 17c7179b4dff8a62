"""What a client has spent this month, from the ledger."""

from __future__ import annotations

from datetime import date

from service.storage.database import Database


class Spending:
    """Reads `key_usage`; raises `StoreUnavailable` when Postgres is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_counter(self, counter: str) -> float:
        """USD behind a budget counter's name, `sa:{<client>}:b:<year>-<month>`."""
        client, _, month = counter.partition("{")[2].rpartition("}:b:")
        return await self.of(client, month)

    async def of(self, client: str, month: str) -> float:
        row = await self._database.fetchrow(
            "select cost_usd from key_usage where key_id = $1 and month = $2",
            client,
            date.fromisoformat(f"{month}-01"),
        )
        return float(row["cost_usd"]) if row is not None else 0.0
