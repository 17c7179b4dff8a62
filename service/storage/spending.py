"""What a client has spent this month, from the ledger."""

from __future__ import annotations

from datetime import date

from service.storage.database import Database, StoreUnavailable


class Spending:
    """Reads `key_usage`; raises `StoreUnavailable` when Postgres is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_counter(self, counter: str) -> float:
        """USD behind a budget counter's name, `sa:{<client>}:b:<year>-<month>`."""
        account, _, month = counter.partition("{")[2].rpartition("}:b:")
        return await self.of(account, month)

    async def of(self, account: str, month: str) -> float:
        if not self._database.available:  # the probe finds out when it is back; requests do not wait for it
            raise StoreUnavailable("postgres")
        row = await self._database.fetchrow(
            "select coalesce(sum(cost_usd), 0) as cost_usd from key_usage where month = $2 and "
            "(key_id = $1 or key_id in (select id from api_keys where account = $1))",
            account,
            date.fromisoformat(f"{month}-01"),
        )
        return float(row["cost_usd"]) if row is not None else 0.0
