"""Messages to every node through Redis pub/sub, on a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import hiredis

from service.background import forever
from service.storage.redis_link import Address, RedisError, pack

RETRY_SECONDS: Final = 0.25
PING_SECONDS: Final = 2.0
CONNECT_SECONDS: Final = 2.0


class RedisChannel:
    """Calls `on_message` for each message. `connected` is False while messages may be missed; `on_connect`
    runs after each (re)connection, so that what was missed can be looked up.
    """

    def __init__(
        self,
        address: Address,
        channel: str,
        on_message: Callable[[bytes], None],
        on_connect: Callable[[], Awaitable[None]],
    ) -> None:
        self._address = address
        self._channel = channel
        self._on_message = on_message
        self._on_connect = on_connect
        self._task: asyncio.Task[None] | None = None
        self.connected = False

    def start(self) -> None:
        self._task = forever(self._run, "redis-channel")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (OSError, TimeoutError, RedisError, hiredis.ProtocolError, EOFError):
                pass
            finally:
                self.connected = False
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        address = self._address
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(address.host, address.port, ssl=address.tls)
        replies = hiredis.Reader(replyError=RedisError)
        try:
            for command in [*address.handshake(), ("SUBSCRIBE", self._channel)]:
                writer.write(pack(command))
            while True:
                # A dead peer is found by pings: without traffic a half-open connection looks alive.
                try:
                    data = await _read(reader)
                except TimeoutError:
                    writer.write(pack(("PING",)))
                    data = await _read(reader)
                if not data:
                    raise EOFError
                replies.feed(data)
                while (reply := replies.gets()) is not False:
                    await self._handle(reply)
        finally:
            writer.close()

    async def _handle(self, reply: object) -> None:
        if isinstance(reply, RedisError):
            raise reply
        if not isinstance(reply, list):
            return
        if reply[0] == b"subscribe":
            self.connected = True
            await self._on_connect()
        elif reply[0] == b"message":
            self._on_message(reply[2])


async def _read(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PING_SECONDS):
        return await reader.read(65_536)
