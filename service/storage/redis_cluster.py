"""A Redis Cluster behind the same interface as one `RedisLink`: a shared connection per master.

Every command of ours belongs to one account, whose hash tag decides the node; `tag` carries it.
"""

from __future__ import annotations

import asyncio
import contextlib
from binascii import crc_hqx
from collections.abc import Awaitable, Callable
from typing import Any, Final

from service.background import forever
from service.storage.database import StoreUnavailable
from service.storage.redis_link import Address, RedisError, RedisLink, pack

SLOTS: Final = 16_384
REFRESH_SECONDS: Final = 30.0


def slot(tag: str) -> int:
    """Redis' hash slot of a tag: CRC16 (XMODEM) modulo 16384."""
    return crc_hqx(tag.encode(), 0) % SLOTS


class RedisCluster:
    """`available` while at least one master answers; commands for a lost one raise `StoreUnavailable`."""

    def __init__(self, seed: Address, timeout: float) -> None:
        self._seed = seed
        self._timeout = timeout
        self._links: dict[tuple[str, int], RedisLink] = {}
        self._table: list[RedisLink | None] = [None] * SLOTS
        self._refreshing: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._was_available = False
        self.on_change: list[Callable[[bool], None]] = []
        self.on_connect: list[Callable[[RedisLink], Awaitable[None]]] = []

    @property
    def available(self) -> bool:
        return any(link.available for link in self._links.values())

    async def start(self) -> None:
        await self._link(self._seed.host, self._seed.port)
        await self.repair()
        self._keeper = forever(self._keep, "redis-cluster")

    async def close(self) -> None:
        self.on_change.clear()
        for task in (self._keeper, self._refreshing):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        for link in self._links.values():
            await link.close()

    def send(self, data: bytes, expected: int = 1, tag: str = "") -> asyncio.Future[list[Any]]:
        """As `RedisLink.send`, to the master that holds `tag`."""
        link = self._table[slot(tag)]
        if link is None:
            self._refresh_later()
            raise StoreUnavailable("redis")
        future = link.send(data, expected)
        future.add_done_callback(self._look)
        return future

    def post(self, data: bytes, expected: int = 1, tag: str = "") -> None:
        with contextlib.suppress(StoreUnavailable):
            self.send(data, expected, tag)

    async def call(self, *command: Any, tag: str = "") -> Any:
        reply = (await self.send(pack(command), 1, tag))[0]
        if isinstance(reply, RedisError) and str(reply).startswith("MOVED"):
            await self.repair()
            reply = (await self.send(pack(command), 1, tag))[0]
        if isinstance(reply, RedisError):
            raise reply
        return reply

    async def repair(self) -> None:
        """Learn anew which master holds which slots, from whoever answers; raises nothing."""
        for link in list(self._links.values()):
            if not link.available:
                continue
            try:
                ranges = await link.call("CLUSTER", "SLOTS")
            except (StoreUnavailable, RedisError):
                continue
            table: list[RedisLink | None] = [None] * SLOTS
            for first, last, master, *_ in ranges:
                host = master[0].decode() or self._seed.host
                node = await self._link(host, master[1])
                table[first : last + 1] = [node] * (last - first + 1)
            self._table = table
            return

    async def _link(self, host: str, port: int) -> RedisLink:
        link = self._links.get((host, port))
        if link is None:
            link = RedisLink(self._seed.at(host, port), self._timeout)
            link.on_connect = self.on_connect
            link.on_change.append(self._changed)
            self._links[(host, port)] = link
            await link.start()
        return link

    def _look(self, future: asyncio.Future[list[Any]]) -> None:
        if future.cancelled() or future.exception() is not None:
            return
        if any(isinstance(one, RedisError) and str(one).startswith("MOVED") for one in future.result()):
            self._refresh_later()

    def _refresh_later(self) -> None:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self.repair())

    def _changed(self, up: bool) -> None:
        self._refresh_later()
        if self.available != self._was_available:
            self._was_available = self.available
            for listener in self.on_change:
                listener(self._was_available)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            await self.repair()
