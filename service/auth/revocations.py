"""Word to every node that a key changed, in under a second: through Redis, or by asking Postgres without it.

Each node hears the channel. After a gap (and twice a second while there is no channel) it looks up which
keys changed meanwhile, and now and then all the same: whoever changed one may have had no Redis to say so.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from service.background import forever
from service.storage.database import Database, StoreUnavailable
from service.storage.redis_channel import RedisChannel
from service.storage.redis_cluster import RedisCluster
from service.storage.redis_link import Address, RedisError, RedisLink

CHANNEL: Final = "sa:auth"
POLL_SECONDS: Final = 0.5
HEARING_SECONDS: Final = 5.0  # between looks while the channel is there
# Transactions may commit later than the time they carry: look back a little, again and again.
OVERLAP: Final = timedelta(seconds=5)
_CHANGED: Final = """
select id, updated_at from api_keys where updated_at > $1
union all select 'token:' || id, revoked_at from revoked_tokens where revoked_at > $1
"""


class Revocations:
    """`forget` is called with the ids of changed keys, here and on the other nodes, and with the moment of
    each change where that is known.
    """

    def __init__(
        self,
        database: Database,
        link: RedisLink | RedisCluster | None,
        address: Address | None,
        forget: Callable[[Mapping[str, datetime | None]], None],
    ) -> None:
        self._database = database
        self._link = link
        self._forget = forget
        self._channel = (
            RedisChannel(address, CHANNEL, self._heard, self.catch_up) if address is not None else None
        )
        self._poller: asyncio.Task[None] | None = None
        self._seen: datetime | None = None
        self._handled: dict[str, datetime] = {}

    async def start(self) -> None:
        await self.catch_up()
        if self._channel is not None:
            self._channel.start()
        self._poller = forever(self._poll, "revocations")

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()
        if self._poller is not None:
            self._poller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._poller

    async def publish(self, key_id: str) -> None:
        """A key was changed in Postgres: forget it here now, elsewhere as soon as they hear."""
        self._forget({key_id: None})
        if self._link is not None:
            with contextlib.suppress(StoreUnavailable, RedisError):
                await self._link.call("PUBLISH", CHANNEL, key_id)

    def _heard(self, message: bytes) -> None:
        self._forget({message.decode("utf-8", "replace"): None})

    async def _poll(self) -> None:
        looked = time.monotonic()
        while True:
            await asyncio.sleep(POLL_SECONDS)
            hears = self._channel is not None and self._channel.connected
            if not hears or time.monotonic() - looked >= HEARING_SECONDS:
                await self.catch_up()
                looked = time.monotonic()

    async def catch_up(self) -> None:
        """Forget every key that changed since the last look; nothing happens while Postgres is away."""
        try:
            if self._seen is None:
                rows = await self._database.fetch("select now() as at")
                self._seen = rows[0]["at"]
                return
            rows = await self._database.fetch(_CHANGED, self._seen - OVERLAP)
        except StoreUnavailable:
            return
        changes: dict[str, datetime | None] = {}
        for row in rows:
            if self._handled.get(row["id"]) != row["updated_at"]:
                self._handled[row["id"]] = row["updated_at"]
                changes[row["id"]] = row["updated_at"]
            self._seen = max(self._seen, row["updated_at"])
        self._forget(changes)
        self._handled = {key: at for key, at in self._handled.items() if at > self._seen - OVERLAP}
