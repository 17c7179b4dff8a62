"""One call of a provider for identical requests at several processes: who comes first claims the cache key in
Redis, the others wait for the entry. Off unless a longest wait is set: it costs each miss a round trip.

Nobody waits for somebody who cannot answer: a leader that dies loses its claim within seconds, one that fails
gives it back, and a wait ends at its bound or when Redis goes away. Whoever waited in vain asks for itself.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from service.cache.exact import Entry, unpack_entry
from service.storage.database import StoreUnavailable
from service.storage.leases import Leases, Redis
from service.storage.redis_link import RedisError, pack

PAUSES: Final = (0.005, 0.01, 0.02, 0.04, 0.08)  # seconds between two looks; the last one again and again


class Sharing:
    """`wait_seconds` is the longest that a request waits for another process."""

    def __init__(self, link: Redis, leases: Leases, wait_seconds: float) -> None:
        self._link = link
        self._leases = leases
        self._wait_seconds = wait_seconds

    async def wait(self, key: str, tag: str, deadline: float) -> Entry | None:
        """The entry that another process made meanwhile. None: ask yourself, and `release` afterwards."""
        leases, claim = self._leases, claim_of(key)
        look = pack(("SET", claim, leases.token, "NX", "PX", leases.milliseconds)) + pack(("GET", key))
        until = min(time.monotonic() + self._wait_seconds, deadline)
        looks = 0
        while True:
            try:
                claimed, data = await self._link.send(look, 2, tag)
            except StoreUnavailable:
                return None
            if isinstance(claimed, RedisError) or isinstance(data, RedisError):
                return None
            if claimed is not None:
                leases.hold(claim, tag)
            entry = unpack_entry(data) if data is not None else None
            if entry is not None:
                leases.release(claim)
                return entry
            pause = PAUSES[min(looks, len(PAUSES) - 1)]
            if claimed is not None or time.monotonic() + pause >= until:
                return None
            await asyncio.sleep(pause)
            looks += 1

    def release(self, key: str) -> None:
        """The answer is kept, or there is none: nobody need wait any more."""
        self._leases.release(claim_of(key))


def claim_of(key: str) -> str:
    """Beside the entry, on the same node of a cluster."""
    return key + ":by"
