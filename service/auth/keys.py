"""API keys: `sk-` and 256 random bits. Only the SHA-256 is stored; the prefix finds the row.

A fast hash is right here: nobody guesses 256 bits, and the hash is on every request's path.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import secrets
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from service.auth.permissions import PERMISSIONS, Limits, Principal
from service.storage.database import Database

START: Final = "sk-"
PREFIX_LENGTH: Final = len(START) + 8
KEY_LENGTH: Final = len(START) + 43

_COLUMNS: Final = (
    "id, account, name, prefix, hash, permissions, limits::text as limits, budget_usd, created_at, "
    "updated_at, expires_at, revoked_at, replaces"
)

_FIND: Final = (
    f"select {_COLUMNS} from api_keys where prefix = $1 and revoked_at is null "  # noqa: S608
    "and (expires_at is null or expires_at > now())"
)
_BY_ID: Final = (
    f"select {_COLUMNS} from api_keys where id = $1 and revoked_at is null "  # noqa: S608
    "and (expires_at is null or expires_at > now())"
)
_REPLACED: Final = "select expires_at from api_keys where replaces = $1 order by created_at, id limit 1"
_LIST: Final = (
    f"select {_COLUMNS}, u.requests as use_count, u.last_used_at from api_keys left join "  # noqa: S608
    "(select key_id, sum(requests) as requests, max(last_used_at) as last_used_at from key_usage "
    "group by 1) u on u.key_id = api_keys.id"
)
_INSERT: Final = (
    "insert into api_keys "  # noqa: S608
    "(id, account, name, prefix, hash, permissions, limits, budget_usd, expires_at, replaces) "
    f"values ($1, coalesce($10, $1), $2, $3, $4, $5, $6::text::jsonb, $7, $8, $9) returning {_COLUMNS}"
)


def new_key() -> str:
    return START + secrets.token_urlsafe(32)


def digest(key: str | bytes) -> bytes:
    return hashlib.sha256(key if isinstance(key, bytes) else key.encode()).digest()


def plausible(key: str) -> bool:
    """Whether it has the form of a key; anything else needs no look-up."""
    return len(key) == KEY_LENGTH and key.startswith(START)


class KeyStore:
    """The table `api_keys`. Every method raises `StoreUnavailable` when Postgres is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, key: str) -> Principal | None:
        """The principal of a live key, None when there is no such key (or it is revoked or expired)."""
        wanted = digest(key)
        rows = await self._database.fetch(_FIND, key[:PREFIX_LENGTH])
        for row in rows:
            if hmac.compare_digest(row["hash"], wanted):
                return principal(row)
        return None

    async def create(
        self,
        name: str,
        permissions: list[str],
        *,
        limits: Limits | None = None,
        budget_usd: float | None = None,
        expires_at: datetime | None = None,
        replaces: str | None = None,
        account: str | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """Make a key; returns (the key, its row). The key is shown once and kept nowhere."""
        check_permissions(permissions)
        key = new_key()
        row = await self._database.fetchrow(
            _INSERT,
            "key_" + secrets.token_hex(8),
            name,
            key[:PREFIX_LENGTH],
            digest(key),
            permissions,
            msgspec.json.encode(limits or Limits()).decode(),
            budget_usd,
            expires_at,
            replaces,
            account,
        )
        assert row is not None
        return key, public(row)

    async def by_id(self, key_id: str) -> Principal | None:
        """The principal of a live key."""
        row = await self._database.fetchrow(_BY_ID, key_id)
        return principal(row) if row is not None else None

    async def list(self) -> list[dict[str, Any]]:
        """Every key, newest first, with its use."""
        rows = await self._database.fetch(_LIST + " order by created_at desc, id limit 10000")
        return [public(row) for row in rows]

    async def get(self, key_id: str) -> dict[str, Any] | None:
        row = await self._database.fetchrow(_LIST + " where api_keys.id = $1", key_id)
        return public(row) if row is not None else None

    async def revoke(self, key_id: str) -> bool:
        """End a key at once; False when there is no such live key."""
        done = await self._database.execute(
            "update api_keys set revoked_at = now(), updated_at = now() where id = $1 and revoked_at is null",
            key_id,
        )
        return done == "UPDATE 1"

    async def rotate(self, key_id: str, overlap_seconds: float) -> tuple[str, dict[str, Any]] | None:
        """A new key with the same rights; the old one works on for `overlap_seconds`. None: no such key.

        One that is rotated again (its first answer was lost, say) ends with its overlap by now: the new key
        has the end that the first one had.
        """
        old = await self._database.fetchrow(_BY_ID, key_id)
        if old is None:
            return None
        before = await self._database.fetchrow(_REPLACED, key_id)
        key, row = await self.create(
            old["name"],
            list(old["permissions"]),
            limits=msgspec.json.decode(old["limits"], type=Limits),
            budget_usd=None if old["budget_usd"] is None else float(old["budget_usd"]),
            expires_at=(before or old)["expires_at"],
            replaces=key_id,
            account=old["account"],
        )
        await self._database.execute(
            "update api_keys set updated_at = now(), expires_at = "
            "least(coalesce(expires_at, 'infinity'), now() + $2 * interval '1 second') where id = $1",
            key_id,
            overlap_seconds,
        )
        return key, row

    async def has_active_admin(self) -> bool:
        row = await self._database.fetchrow(
            "select 1 from api_keys where 'admin' = any(permissions) and revoked_at is null "
            "and (expires_at is null or expires_at > now()) limit 1"
        )
        return row is not None


def check_permissions(permissions: list[str]) -> None:
    """Raises ValueError with the bad name and the good ones."""
    if not permissions:
        raise ValueError(f"at least one permission is needed, of: {', '.join(PERMISSIONS)}")
    for permission in permissions:
        if permission not in PERMISSIONS:
            raise ValueError(f"{permission[:40]!r} is not a permission; these are: {', '.join(PERMISSIONS)}")


@functools.lru_cache(1024)
def _limits(text: str) -> Limits:
    return msgspec.json.decode(text, type=Limits)


@functools.lru_cache(1024)
def _held(permissions: tuple[str, ...]) -> frozenset[str]:
    return frozenset(permissions)


def principal(row: Any) -> Principal:
    """Parts that many keys have alike are one object: a process may know a hundred thousand keys."""
    name = row["id"]
    return Principal(
        id=name,
        account=name if row["account"] == name else row["account"],
        name=row["name"],
        kind="key",
        permissions=_held(tuple(row["permissions"])),
        limits=_limits(row["limits"]),
        budget_usd=None if row["budget_usd"] is None else float(row["budget_usd"]),
        expires_at=row["expires_at"],
        changed=row["updated_at"],
    )


def public(row: Any) -> dict[str, Any]:
    """What may be shown of a key: everything but the hash."""
    shown = {name: row[name] for name in row.keys() if name != "hash"}  # noqa: SIM118
    shown["limits"] = json.loads(shown["limits"])
    if "use_count" in shown:
        shown["use_count"] = int(shown["use_count"] or 0)
    shown["budget_usd"] = None if shown["budget_usd"] is None else float(shown["budget_usd"])
    for name, value in shown.items():
        if isinstance(value, datetime):
            shown[name] = value.astimezone(UTC).isoformat()
    return shown
