"""What a caller may do, and who it is."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, get_args

from msgspec import Struct

Permission = Literal["chat", "debate", "read", "write", "admin"]
PERMISSIONS: Final[tuple[str, ...]] = get_args(Permission)


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """A key's own limits; None means the service's default holds."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    burst: int | None = None


class Principal(Struct, frozen=True):
    """Who asks. `id` names the key (or the token's subject). `account` is what limits, budgets, caches and
    sessions belong to: a rotated key keeps the account of the key it replaces.
    """

    id: str
    account: str
    name: str
    kind: Literal["key", "token", "oidc"]
    permissions: frozenset[str]
    limits: Limits = Limits()
    budget_usd: float | None = None
    expires_at: datetime | None = None
    changed: datetime | None = None  # when the key's row was changed last, as the table says

    def may(self, permission: str) -> bool:
        """`admin` may do everything; `write` includes `read`."""
        held = self.permissions
        return permission in held or "admin" in held or (permission == "read" and "write" in held)
