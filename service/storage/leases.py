"""Short claims in Redis on work that only one process should do. They are renewed while they are held, so the
death of their holder frees them within `seconds`, and a node that lost Redis cannot keep them.

A claim keeps work from being done twice; it is no proof: what must not happen twice is guarded where it is
written.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import Final

from service.background import forever
from service.storage.redis_cluster import RedisCluster
from service.storage.redis_link import RedisLink, pack

Redis = RedisLink | RedisCluster

RENEW: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
RELEASE: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)


class Leases:
    """`token` and `milliseconds` are what a script sets a key to that `hold` then keeps alive."""

    def __init__(self, link: Redis | None, seconds: float = 3.0) -> None:
        self._link = link
        self._seconds = seconds
        self._held: dict[str, str] = {}  # key -> its tag
        self._renewer: asyncio.Task[None] | None = None
        self.token = secrets.token_hex(8)
        self.milliseconds = round(seconds * 1000)

    def start(self) -> None:
        if self._link is not None:
            self._renewer = forever(self._renew, "leases")

    async def close(self) -> None:
        if self._renewer is not None:
            self._renewer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._renewer

    def hold(self, key: str, tag: str) -> None:
        """The key was set to our token just now: renew it until it is let go."""
        self._held[key] = tag

    def gone(self, key: str) -> None:
        """The key was removed by a script of ours."""
        self._held.pop(key, None)

    def release(self, key: str) -> None:
        """Let go, unless somebody else has it by now. Sent without waiting."""
        tag = self._held.pop(key, None)
        if tag is not None and self._link is not None:
            self._link.post(pack(("EVAL", RELEASE, 1, key, self.token)), 1, tag)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / 3)
            if self._link is not None:
                for key, tag in self._held.items():
                    command = pack(("EVAL", RENEW, 1, key, self.token, self.milliseconds))
                    self._link.post(command, 1, tag)
