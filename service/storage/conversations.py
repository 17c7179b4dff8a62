"""Conversations kept for clients, in Redis. Without Redis there are none: callers get `StoreUnavailable`."""

from __future__ import annotations

import secrets
import time
from typing import Final

import msgspec
from msgspec import Struct

from service.providers.base import Message
from service.storage.database import StoreUnavailable
from service.storage.redis_cluster import RedisCluster
from service.storage.redis_link import RedisLink

# Write only over the version that was read: two turns at once must not swallow one another.
SAVE: Final = """
local held = redis.call('HGET', KEYS[1], 'version')
if not held then return -1 end
if held ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'data', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""
Redis = RedisLink | RedisCluster
ID_LENGTH: Final = 37


class Conversation(Struct):
    """`version` counts turns. Times are seconds since the epoch, `ttl` seconds from the last turn."""

    id: str
    model: str
    system: str
    created: float
    ttl: int
    messages: list[Message]
    version: int = 1


class Conflict(Exception):
    """Another turn of the same conversation was faster."""


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Conversation)


class Conversations:
    """Keys carry the account: nobody reaches another's conversation, and they lie beside its limits."""

    def __init__(self, link: Redis | None) -> None:
        self._link = link

    async def create(self, account: str, model: str, system: str, ttl: int) -> Conversation:
        made = Conversation(f"sess_{secrets.token_hex(16)}", model, system, time.time(), ttl, [])
        link = self._need()
        key = _key(account, made.id)
        await link.call("HSET", key, "version", made.version, "data", _encoder.encode(made), tag=account)
        await link.call("EXPIRE", key, ttl, tag=account)
        return made

    async def load(self, account: str, identity: str) -> Conversation | None:
        if len(identity) != ID_LENGTH or not identity.isascii():
            return None
        data = await self._need().call("HGET", _key(account, identity), "data", tag=account)
        return _decoder.decode(data) if isinstance(data, bytes) else None

    async def save(self, account: str, one: Conversation) -> None:
        """Keep the next version. Raises `Conflict` when it was changed or deleted meanwhile."""
        before, one.version = one.version, one.version + 1
        data = _encoder.encode(one)
        done = await self._need().call(
            "EVAL", SAVE, 1, _key(account, one.id), before, one.version, data, one.ttl, tag=account
        )
        if done != 1:
            raise Conflict

    async def delete(self, account: str, identity: str) -> bool:
        return bool(await self._need().call("DEL", _key(account, identity), tag=account))

    def _need(self) -> Redis:
        if self._link is None:
            raise StoreUnavailable("redis", 60)
        return self._link


def _key(account: str, identity: str) -> str:
    return f"sa:{{{account}}}:s:{identity}"
