"""From the `Authorization` header to a principal: verified once, remembered, forgotten on revocation.

While Postgres is away, what is remembered keeps working (bounded by `stale_seconds`) and what is not is
answered 503: a client is never told that its key is wrong because a store is down.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from service.auth.credentials import Credentials, NotAuthenticated, Verified
from service.auth.keys import digest
from service.auth.permissions import Principal
from service.storage.database import StoreUnavailable

REMEMBERED: Final = 200_000  # principals kept per process; `make bench` tells what 100,000 take
REFUSED_SECONDS: Final = 5.0  # a wrong key is looked up at most this often
REFUSED: Final = 10_000


class _Known:
    __slots__ = ("checked", "expires", "names", "principal", "refreshing")

    def __init__(self, verified: Verified, now: float) -> None:
        self.principal = verified.principal
        self.names = verified.names
        self.checked = now
        self.refreshing = False
        self.expires = now + verified.lives


class _LookUp:
    """One that is on its way, and what was to be forgotten meanwhile."""

    __slots__ = ("heard",)

    def __init__(self) -> None:
        self.heard: dict[str, datetime | None] = {}


class Authenticator:
    """`authenticate` is synchronous while the key is remembered; else it returns an awaitable."""

    def __init__(self, credentials: Credentials, fresh_seconds: float, stale_seconds: float) -> None:
        self._credentials = credentials
        self._fresh = fresh_seconds
        self._stale = stale_seconds
        self._known: dict[bytes, _Known] = {}
        self._refused: dict[bytes, tuple[float, str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: set[_LookUp] = set()
        self.on_success: Callable[[str], None] = lambda actor: None

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
        """Ask the store. Raises `NotAuthenticated`, or `StoreUnavailable` unless another request that asked
        meanwhile got its answer.
        """
        try:
            return await self._ask(credential)
        except StoreUnavailable:
            principal = self.remembered(credential)
            if principal is None:
                raise
            return principal

    async def _ask(self, credential: bytes) -> Principal:
        try:
            text = credential.decode("ascii")
        except UnicodeDecodeError:
            raise NotAuthenticated("This is not an API key: keys are plain ASCII.") from None
        identity = digest(credential)
        refused = self._refused.get(identity)
        if refused is not None and time.monotonic() - refused[0] < REFUSED_SECONDS:
            raise NotAuthenticated(refused[1])
        look_up = _LookUp()
        self._looking.add(look_up)
        try:
            verified = await self._credentials.verify(text)
        except NotAuthenticated as error:
            self._known.pop(identity, None)
            _bounded(self._refused, REFUSED)
            self._refused[identity] = (time.monotonic(), str(error))
            raise
        finally:
            self._looking.discard(look_up)
        known = _Known(verified, time.monotonic())
        if not _outdated(known, look_up.heard):  # else it may have been read before it was revoked
            _bounded(self._known, REMEMBERED)
            self._known[identity] = known
        self.on_success(verified.principal.id)
        return verified.principal

    def forget(self, changes: Mapping[str, datetime | None]) -> None:
        """Drop what goes by these names at once: revoked, changed or rotated. What was read after its change
        (where the moment is given) stays: were it dropped, a lost database would make a good key unknown.
        """
        if changes:
            for look_up in self._looking:
                look_up.heard.update(changes)
            for identity in [one for one, known in self._known.items() if _outdated(known, changes)]:
                del self._known[identity]

    def _refresh_later(self, key: str, known: _Known) -> None:
        known.refreshing = True
        task = asyncio.create_task(self._refresh(key, known))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _refresh(self, key: str, known: _Known) -> None:
        try:
            await self._ask(key.encode())
        except StoreUnavailable:
            await asyncio.sleep(1.0)  # the next request asks again, not each of them
        except NotAuthenticated:
            pass
        finally:
            known.refreshing = False


def _outdated(known: _Known, changes: Mapping[str, datetime | None]) -> bool:
    for name in known.names:
        if name in changes:
            changed = changes[name]
            if changed is None or changed != known.principal.changed:
                return True
    return False


def _bounded(memory: dict[bytes, Any], limit: int) -> None:
    """Make room by dropping the oldest eighth; dictionaries keep insertion order."""
    if len(memory) >= limit:
        for key in list(memory)[: limit // 8]:
            del memory[key]
