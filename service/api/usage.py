"""`GET /v1/usage`: the ledger, grouped. A key sees its own account, an admin everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct, field

from service.api.endpoint import Door, answer, in_utc, query
from service.api.errors import ApiError
from service.api.exchange import Exchange
from service.storage.reports import Reports

Group = Literal["key", "model", "provider", "endpoint", "outcome", "cache", "hour", "day", "month"]
_EXPRESSIONS: Final[dict[str, str]] = {
    "key": "key_id",
    "model": "model",
    "provider": "provider",
    "endpoint": "endpoint",
    "outcome": "outcome",
    "cache": "cache",
    "hour": "to_char(at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:00:00\"Z\"')",
    "day": "to_char(at at time zone 'utc', 'YYYY-MM-DD')",
    "month": "to_char(at at time zone 'utc', 'YYYY-MM')",
}
LONGEST: Final = timedelta(days=366)
USUAL: Final = timedelta(days=30)
FIRST: Final = datetime.min.replace(tzinfo=UTC)
MOST_ROWS: Final = 10_000


class UsageQuery(Struct, forbid_unknown_fields=True):
    """`group_by` is a comma-separated list; times are RFC 3339, the default is the last 30 days."""

    group_by: str = "day"
    start: Annotated[datetime, Meta(tz=True)] | None = field(name="from", default=None)
    end: Annotated[datetime, Meta(tz=True)] | None = field(name="to", default=None)
    key: Annotated[str, Meta(max_length=200)] | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_ROWS)] = 1000


def statement(groups: list[str], *, by_account: bool, by_key: bool) -> str:
    """SQL for these groups: $1 from, $2 to, $3 row limit, then account and key as they are wanted."""
    columns = ", ".join(f'{_EXPRESSIONS[group]} as "{group}"' for group in groups)
    conditions = ["at >= $1", "at < $2"]
    number = 4
    if by_account:
        owned = f"key_id in (select id from api_keys where account = ${number})"  # noqa: S608
        conditions.append(f"(key_id = ${number} or {owned})")
        number += 1
    if by_key:
        conditions.append(f"key_id = ${number}")
    positions = ", ".join(str(number) for number in range(1, len(groups) + 1))
    return (
        f"select {columns}{', ' if columns else ''}count(*) as requests, "  # noqa: S608  # from the table above
        "coalesce(sum(input_tokens), 0)::int8 as input_tokens, "
        "coalesce(sum(output_tokens), 0)::int8 as output_tokens, "
        "coalesce(sum(cached_tokens), 0)::int8 as cached_tokens, "
        "coalesce(sum(cost_usd), 0)::float8 as cost_usd, "
        "count(*) filter (where outcome <> 'ok') as failed, "
        "count(*) filter (where cache <> '') as from_cache, "
        "coalesce(avg(latency_ms), 0)::float8 as latency_ms, "
        "round(avg(quality)::numeric, 6)::float8 as quality, count(quality) as scored "
        f"from usage where {' and '.join(conditions)}"
        + (f" group by {positions} order by {positions}" if groups else "")
        + " limit $3"
    )


class UsageReport:
    """`source` in its answer says which server was read."""

    def __init__(self, door: Door, reports: Reports) -> None:
        self._door = door
        self._reports = reports

    async def __call__(self, exchange: Exchange) -> None:
        principal = await self._door.enter(exchange, "read")
        wanted = query(exchange, UsageQuery)
        groups = [group for group in dict.fromkeys(wanted.group_by.split(",")) if group]
        for group in groups:
            if group not in _EXPRESSIONS:
                raise ApiError(
                    400, f"'group_by' takes: {', '.join(_EXPRESSIONS)}, with commas.", param="group_by"
                )
        end = in_utc(wanted.end, "to") if wanted.end is not None else datetime.now(UTC)
        start = in_utc(wanted.start, "from") if wanted.start is not None else end - min(USUAL, end - FIRST)
        if not timedelta(0) < end - start <= LONGEST:
            raise ApiError(400, "'from' must lie before 'to', by a year at most.", param="from")
        admin = principal.may("admin")
        arguments: list[Any] = [start, end, wanted.limit]
        if not admin:
            arguments.append(principal.account)
        if wanted.key is not None:
            arguments.append(wanted.key.replace("\0", ""))
        sql = statement(groups, by_account=not admin, by_key=wanted.key is not None)
        rows, source = await self._reports.read(lambda database: database.fetch(sql, *arguments))
        await answer(
            exchange,
            {
                "object": "list",
                "from": start.isoformat(),
                "to": end.isoformat(),
                "group_by": groups,
                "source": source,
                "data": [dict(row) for row in rows],
            },
        )
