"""A usage row in the caller's own transaction: for work whose result is stored in Postgres anyway, so that
result and row exist together or not at all. Everything else books through the journal.
"""

from __future__ import annotations

from typing import Any, Final

from service.storage.usage import COLUMNS, UsageRow, text

_VALUES: Final = ", ".join(
    f"to_timestamp(${number}::float8)" if column == "at" else f"${number}"
    for number, column in enumerate(COLUMNS, 1)
)
# The sums follow the row in the same order of locks as the shipper's: usage, then key_usage.
_BOOK: Final = f"""
with fresh as (
    insert into usage ({", ".join(COLUMNS)}) values ({_VALUES})
    on conflict (request_id) do nothing
    returning key_id, at, cost_usd
)
insert into key_usage (key_id, month, requests, cost_usd, last_used_at)
select key_id, date_trunc('month', at at time zone 'utc')::date, 1, cost_usd, at from fresh
on conflict (key_id, month) do update set
    requests = key_usage.requests + 1,
    cost_usd = key_usage.cost_usd + excluded.cost_usd,
    last_used_at = greatest(key_usage.last_used_at, excluded.last_used_at)
"""  # noqa: S608  # column names from this code
_TEXTS: Final = frozenset({"key_id", "model", "provider", "provider_model"})


async def book(connection: Any, row: UsageRow) -> None:
    """Insert the row unless its request id is there already, and add it to the key's month."""
    values = [getattr(row, column) for column in COLUMNS]
    values = [text(value) if name in _TEXTS else value for name, value in zip(COLUMNS, values, strict=True)]
    await connection.execute(_BOOK, *values)
