"""The security report: what an operator looks at first, from the audit events and the keys."""

from __future__ import annotations

from typing import Any, Final

from service.storage.database import Database

_KEYS: Final = """
select count(*) as total,
       count(*) filter (where revoked_at is null and (expires_at is null or expires_at > now())) as live,
       count(*) filter (where revoked_at is not null) as revoked,
       count(*) filter (where revoked_at is null and expires_at <= now()) as expired,
       count(*) filter (where revoked_at is null and expires_at is null) as without_expiry,
       count(*) filter (where 'admin' = any(permissions) and revoked_at is null) as admins
from api_keys
"""
_ACTIVE: Final = """
select count(distinct key_id) as n from key_usage where last_used_at > now() - interval '7 days'
"""
_EVENTS: Final = """
select type, sum(count)::bigint as n from audit_events where at > now() - interval '24 hours'
group by 1 order by 2 desc
"""
_USERS: Final = """
select key_id as client, count(*) as requests, sum(cost_usd)::float8 as cost_usd from usage
where at > now() - interval '24 hours' group by 1 order by 2 desc limit 10
"""
# Patterns, each with its rule: many failures of one address, one address behind many keys' refusals,
# credentials used after their end, and refresh tokens used twice.
_ADDRESSES: Final = """
select address, sum(count)::bigint as failures from audit_events
where type = 'auth_failure' and at > now() - interval '1 hour' group by 1 having sum(count) >= 20
order by 2 desc limit 20
"""
_DENIED: Final = """
select actor as client, sum(count)::bigint as denials from audit_events
where type = 'permission_denied' and at > now() - interval '1 hour' group by 1 having sum(count) >= 10
order by 2 desc limit 20
"""
_REUSED: Final = """
select actor as client, count(*) as n from audit_events
where type = 'refresh_reused' and at > now() - interval '24 hours' group by 1 order by 2 desc limit 20
"""


async def report(database: Database) -> dict[str, Any]:
    """Raises `StoreUnavailable`."""
    keys = await database.fetchrow(_KEYS)
    active = await database.fetchrow(_ACTIVE)
    assert keys is not None
    assert active is not None
    return {
        "keys": {**dict(keys), "active_7d": active["n"]},
        "events_24h": {row["type"]: row["n"] for row in await database.fetch(_EVENTS)},
        "most_active_24h": [dict(row) for row in await database.fetch(_USERS)],
        "suspicious": {
            "addresses_with_many_failures_1h": [dict(row) for row in await database.fetch(_ADDRESSES)],
            "clients_with_many_denials_1h": [dict(row) for row in await database.fetch(_DENIED)],
            "reused_refresh_tokens_24h": [dict(row) for row in await database.fetch(_REUSED)],
        },
    }
