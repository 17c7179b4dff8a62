"""From the `Authorization` header to a principal: verified once, remembered, forgotten on revocation.

While Postgres is away, what is remembered keeps working (bounded by `stale_seconds`) and what is not is
answered 503: a client is never told that its key is wrong because a store is down.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from service.auth.keys import KeyStore, digest, plausible
from service.auth.permissions import Principal
from service.storage.database import StoreUnavailable

REMEMBERED: Final = 100_000  # principals kept per process, about 60 MB at the very most
REFUSED_SECONDS: Final = 5.0  # a wrong key is looked up at most this often
REFUSED: Final = 10_000


class NotAuthenticated(Exception):
    """No or no valid credentials; the message says which, never the credential."""


class _Known:
    __slots__ = ("checked", "expires", "principal", "refreshing")

    def __init__(self, principal: Principal, now: float) -> None:
        self.principal = principal
        self.checked = now
        self.refreshing = False
        self.expires = float("inf")
        if principal.expires_at is not None:
            self.expires = now + (principal.expires_at - datetime.now(UTC)).total_seconds()


class Authenticator:
    """`authenticate` is synchronous while the key is remembered; else it returns an awaitable."""

    def __init__(self, keys: KeyStore, fresh_seconds: float, stale_seconds: float) -> None:
        self._keys = keys
        self._fresh = fresh_seconds
        self._stale = stale_seconds
        self._known: dict[bytes, _Known] = {}
        self._refused: dict[bytes, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_failure: Callable[[str], None] = lambda reason: None

    def remembered(self, credential: bytes) -> Principal | None:
        """The hot path: the principal when this credential was verified lately, else None."""
        known = self._known.get(digest(credential))
        if known is None:
            return None
        now = time.monotonic()
        age = now - known.checked
        if now >= known.expires or age > self._stale + self._fresh:
            return None
        if age > self._fresh and not known.refreshing:
            self._refresh_later(credential.decode("ascii", "replace"), known)
        return known.principal

    async def verify(self, credential: bytes) -> Principal:
        """Ask the store. Raises `NotAuthenticated` or `StoreUnavailable`."""
        try:
            key = credential.decode("ascii")
        except UnicodeDecodeError:
            key = ""
        if not plausible(key):
            raise self._fail("This is not an API key: keys start with 'sk-' and have 46 characters.")
        identity = digest(credential)
        refused_at = self._refused.get(identity)
        if refused_at is not None and time.monotonic() - refused_at < REFUSED_SECONDS:
            raise self._fail("This API key is unknown, expired or revoked.")
        principal = await self._keys.find(key)
        if principal is None:
            self._known.pop(identity, None)
            _bounded(self._refused, REFUSED)
            self._refused[identity] = time.monotonic()
            raise self._fail("This API key is unknown, expired or revoked.")
        _bounded(self._known, REMEMBERED)
        self._known[identity] = _Known(principal, time.monotonic())
        return principal

    def forget(self, key_id: str) -> None:
        """Drop a principal at once: revoked, changed or rotated."""
        for identity in [one for one, known in self._known.items() if known.principal.id == key_id]:
            del self._known[identity]

    def forget_all(self) -> None:
        self._known.clear()
        self._refused.clear()

    def _fail(self, reason: str) -> NotAuthenticated:
        self.on_failure(reason)
        return NotAuthenticated(reason)

    def _refresh_later(self, key: str, known: _Known) -> None:
        known.refreshing = True
        task = asyncio.create_task(self._refresh(key, known))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _refresh(self, key: str, known: _Known) -> None:
        try:
            await self.verify(key.encode())
        except StoreUnavailable:
            await asyncio.sleep(1.0)  # the next request asks again, not each of them
        except NotAuthenticated:
            pass
        finally:
            known.refreshing = False


def _bounded(memory: dict[bytes, Any], limit: int) -> None:
    """Make room by dropping the oldest eighth; dictionaries keep insertion order."""
    if len(memory) >= limit:
        for key in list(memory)[: limit // 8]:
            del memory[key]
