"""Answers to a question asked in other words: an index over the exact cache, which keeps the answers.

Only the last user text may differ. Everything else (account, model, sampling, format, system prompt, earlier
turns, end user) is hashed into the scope, and nothing is compared across scopes. Similar is not yet the same:
where `semantic_guard` sees a difference, nothing is answered. Redis slow or gone, an embedder that fails, an
entry that cannot be read: a miss.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct, structs

from service.cache import exact
from service.cache.exact import Entry
from service.cache.semantic_embed import Embedder, NoVector
from service.cache.semantic_guard import compare, read
from service.cache.semantic_index import COUNTER, IN_BUCKET, Index, Place, Vector, index, pack
from service.providers.base import CanonicalRequest, Message, Text
from service.storage.database import StoreUnavailable
from service.storage.redis_link import RedisError
from service.storage.redis_link import pack as command

if TYPE_CHECKING:
    from service.limits.admission import Redis
    from service.telemetry.metrics import Metrics

VERSION: Final = 1  # of what is stored and of how scopes are named
# Embedding takes time that grows with the text, and the longer a text the less one word of it shows.
MOST_CHARACTERS: Final = 1000
GUARDED: Final = 8  # candidates that are read word by word

# Slots are used in a ring: a full scope forgets its oldest question. A bucket may then name a slot that holds
# another question by now; comparing vectors finds that out.
_STORE: Final = f"""
local id = struct.pack('>I4', redis.call('HINCRBY', KEYS[1], '{COUNTER.decode()}', 1) % ARGV[1])
redis.call('HSET', KEYS[1], 'e' .. id, ARGV[3])
for i = 4, #ARGV do
  local known = redis.call('HGET', KEYS[1], ARGV[i]) or ''
  redis.call('HSET', KEYS[1], ARGV[i], id .. string.sub(known, 1, {4 * (IN_BUCKET - 1)}))
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""

_encoder: Final = msgspec.msgpack.Encoder()


class Look(Struct):
    """One look-up: what was found, and what it takes to keep the answer when nothing was."""

    account: str
    key: str
    text: str
    vector: Vector
    place: Place
    index: Index
    entry: Entry | None = None


class SemanticCache:
    """Shared by all processes through Redis."""

    def __init__(
        self, embedder: Embedder, link: Redis, metrics: Metrics, *, threshold: float, entries: int
    ) -> None:
        self._embedder = embedder
        self._link = link
        self._threshold = threshold
        self._entries = entries
        self._looking: dict[str, asyncio.Task[Look | None]] = {}
        self._hit = metrics.cache_hits.labels("semantic")
        self._miss = metrics.cache_misses.labels("semantic")
        self._unanswered = metrics.semantic_unanswered

    async def look(self, account: str, request: CanonicalRequest, cache_key: str) -> Look | None:
        """What is known of this request; None when it cannot be asked or kept. The policy of the exact cache
        holds already. Identical requests at the same time are one look. Raises nothing.
        """
        looking = self._looking.get(cache_key)
        if looking is None:
            text = question(request)
            if not text:
                return None
            looking = self._looking[cache_key] = asyncio.create_task(self._look(account, request, text))
            looking.add_done_callback(lambda _: self._looking.pop(cache_key, None))
        look = await asyncio.shield(looking)  # it ends soon, and others may wait for it
        (self._miss if look is None or look.entry is None else self._hit).inc()
        return look

    async def _look(self, account: str, request: CanonicalRequest, text: str) -> Look | None:
        try:
            vector = await self._embedder.embed(text)
        except NoVector as error:
            self._unanswered.labels(str(error)).inc()
            return None
        look = self.place(account, request, text, vector)
        try:
            look.entry = await self._find(look)
        except (StoreUnavailable, RedisError):
            self._unanswered.labels("store").inc()
            return None
        return look

    def place(self, account: str, request: CanonicalRequest, text: str, vector: Vector) -> Look:
        """Where in Redis this question belongs."""
        where = index(len(vector), self._entries)
        key = scope_key(account, request, f"{self._embedder.name}:{where.shape}")
        return Look(account, key, text, vector, where.place(vector), where)

    def keep(self, look: Look, cache_key: str, seconds: int) -> None:
        """The question's answer is in the exact cache under `cache_key` for `seconds` from now."""
        answer = cache_key.rpartition(":")[2]
        data = pack(int(time.time()) + seconds, answer, look.text, look.vector)
        self._link.post(
            command(("EVAL", _STORE, 1, look.key, self._entries, seconds, data, *look.place.own)),
            1,
            look.account,
        )

    async def _find(self, look: Look) -> Entry | None:
        buckets = await self._ask(look, ("HMGET", look.key, *look.place.near))
        fields = look.index.candidates(buckets)
        if not fields:
            return None
        stored = await self._ask(look, ("HMGET", look.key, *fields))
        similar = look.index.nearest(look.vector, stored, self._threshold, time.time())
        if not similar:
            return None
        asked = read(look.text)
        for _, kept in similar[:GUARDED]:
            if not compare(asked, read(kept.text)):
                found = await self._ask(look, ("GET", exact.account_key(look.account, kept.answer)))
                return exact.unpack_entry(found) if isinstance(found, bytes) else None
        self._unanswered.labels("guard").inc()
        return None

    async def _ask(self, look: Look, words: tuple[Any, ...]) -> Any:
        reply = (await self._link.send(command(words), 1, look.account))[0]
        if isinstance(reply, RedisError):
            raise reply
        return reply


def question(request: CanonicalRequest) -> str:
    """The last user text; empty where there is more to a request than text, or no question to compare."""
    if request.tools or not request.messages or request.messages[-1].role != "user":
        return ""
    if any(type(part) is not Text for message in request.messages for part in message.parts):
        return ""
    text = "\n".join([part.text for part in request.messages[-1].parts if type(part) is Text])
    return text if 0 < len(text) <= MOST_CHARACTERS and any(map(str.isalpha, text)) else ""


def scope_key(account: str, request: CanonicalRequest, space: str) -> str:
    """Of all requests that differ in the last user text only, of one account, in one vector space."""
    *earlier, last = request.messages
    shell = Message(last.role, tuple([structs.replace(part, text="") for part in last.parts]), last.name)
    rest = structs.replace(request, messages=(*earlier, shell))
    digest = hashlib.sha256(_encoder.encode((VERSION, account, space, rest)))
    return f"sa:{{{account}}}:s:{digest.hexdigest()[:40]}"
