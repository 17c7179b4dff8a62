"""Conversations kept for clients, in Redis. Without Redis there are none: callers get `StoreUnavailable`."""

from __future__ import annotations

import secrets
import time
from typing import Any, Final

import msgspec
from msgspec import Struct

from service.providers.base import Message
from service.storage.database import StoreUnavailable
from service.storage.leases import Leases
from service.storage.redis_cluster import RedisCluster
from service.storage.redis_link import RedisError, RedisLink, pack

# One turn at a time: who comes second is told before a model is paid for an answer that nobody can keep.
BEGIN: Final = """
local data = redis.call('HGET', KEYS[1], 'data')
if not data then return -1 end
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
return data
"""
# Write only over the version that was read: a claim that lapsed must not let a turn swallow another.
SAVE: Final = """
if redis.call('GET', KEYS[2]) == ARGV[5] then redis.call('DEL', KEYS[2]) end
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
    """Another turn of the same conversation is being answered, or was faster."""


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Conversation)


class Conversations:
    """Keys carry the account: nobody reaches another's conversation, and they lie beside its limits. Every
    method but `end_turn` raises `StoreUnavailable`.
    """

    def __init__(self, link: Redis | None, leases: Leases) -> None:
        self._link = link
        self._leases = leases
        self._turns: dict[str, Conversation] = {}  # the one that each claim of ours is for

    async def create(self, account: str, model: str, system: str, ttl: int) -> Conversation:
        made = Conversation(f"sess_{secrets.token_hex(16)}", model, system, time.time(), ttl, [])
        key = _key(account, made.id)
        data = pack(("HSET", key, "version", made.version, "data", _encoder.encode(made)))
        for reply in await self._need().send(data + pack(("EXPIRE", key, ttl)), 2, account):
            if isinstance(reply, RedisError):
                raise StoreUnavailable("redis") from reply
        return made

    async def load(self, account: str, identity: str) -> Conversation | None:
        if not _plausible(identity):
            return None
        data = await self._call(account, "HGET", _key(account, identity), "data")
        return _decoder.decode(data) if isinstance(data, bytes) else None

    async def begin_turn(self, account: str, identity: str) -> Conversation | None:
        """The conversation, for one turn that `save` or `end_turn` ends. Raises `Conflict` while another one
        is being answered.
        """
        if not _plausible(identity):
            return None
        leases, turn = self._leases, _turn(account, identity)
        keys = (_key(account, identity), turn)
        data = await self._call(account, "EVAL", BEGIN, 2, *keys, leases.token, leases.milliseconds)
        if data == 0:
            raise Conflict
        if not isinstance(data, bytes):
            return None
        one = _decoder.decode(data)  # first: what another version wrote is nobody's turn here
        self._turns[turn] = one
        leases.hold(turn, account)
        return one

    async def save(self, account: str, one: Conversation) -> None:
        """Keep the next version. Raises `Conflict` when it was changed or deleted meanwhile."""
        before, one.version = one.version, one.version + 1
        turn = _turn(account, one.id)
        values = (before, one.version, _encoder.encode(one), one.ttl, self._leases.token)
        done = await self._call(account, "EVAL", SAVE, 2, _key(account, one.id), turn, *values)
        if self._turns.get(turn) is one:
            del self._turns[turn]
            self._leases.gone(turn)
        if done != 1:
            raise Conflict

    def end_turn(self, account: str, one: Conversation) -> None:
        """Nothing is kept of this turn; after `save` this does nothing, not even to a later turn."""
        turn = _turn(account, one.id)
        if self._turns.get(turn) is one:
            del self._turns[turn]
            self._leases.release(turn)

    async def delete(self, account: str, identity: str) -> bool:
        return bool(await self._call(account, "DEL", _key(account, identity)))

    async def _call(self, account: str, *command: Any) -> Any:
        try:
            return await self._need().call(*command, tag=account)
        except RedisError as error:  # loading, out of memory, read-only: not able to keep anything now
            raise StoreUnavailable("redis") from error

    def _need(self) -> Redis:
        if self._link is None:
            raise StoreUnavailable("redis", 60)
        return self._link


def _plausible(identity: str) -> bool:
    return len(identity) == ID_LENGTH and identity.isascii()


def _key(account: str, identity: str) -> str:
    return f"sa:{{{account}}}:s:{identity}"


def _turn(account: str, identity: str) -> str:
    return f"sa:{{{account}}}:s:{identity}:turn"
