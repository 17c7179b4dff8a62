"""The semantic cache: what is compared with what, and real Valkey under it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from service.auth.permissions import Principal
from service.cache import exact
from service.cache.exact import Entry
from service.cache.semantic import MOST_CHARACTERS, Look, SemanticCache, question, scope_key
from service.cache.semantic_embed import LocalEmbedder, NoVector
from service.cache.semantic_index import Vector, unit
from service.providers.base import (
    CanonicalRequest,
    CanonicalResponse,
    Image,
    Message,
    Text,
    Tool,
    ToolResult,
    Usage,
)
from service.storage.redis_link import Address, RedisLink, pack
from service.telemetry.metrics import Metrics
from tests.service.slow import slow
from tests.service.stores import Valkey, valkey

local = cache(LocalEmbedder)  # loaded once; it keeps nothing of what it embeds
RESET = "How do I reset my password?"
REWORDED = "how can I reset my password"


def request(text: str = RESET, *earlier: Message, **more: Any) -> CanonicalRequest:
    messages = (*earlier, Message("user", (Text(text),)))
    return CanonicalRequest(**{"model": "m", "messages": messages, "temperature": 0, **more})


# --- what is compared with what


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20), st.text(), st.text())
def test_no_two_accounts_share_a_scope(one: str, other: str, text: str, reworded: str) -> None:
    same = scope_key(one, request(text), "s") == scope_key(other, request(reworded), "s")
    assert same == (one == other)


@given(st.text(max_size=50), st.text(max_size=50))
def test_only_the_last_text_may_differ(one: str, other: str) -> None:
    assert scope_key("a", request(one), "s") == scope_key("a", request(other), "s")
    before = Message("user", (Text(one),)), Message("user", (Text(other),))
    same = scope_key("a", request("x", before[0]), "s") == scope_key("a", request("x", before[1]), "s")
    assert same == (one == other)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "n"}, {"max_tokens": 5}, {"temperature": 0.5}, {"temperature": None}, {"top_p": 0.1},
        {"top_k": 3}, {"seed": 1}, {"stop": ("a",)}, {"frequency_penalty": 1.0}, {"presence_penalty": 1.0},
        {"user": "someone"},
        {"reasoning_effort": "low"}, {"thinking_budget": 5}, {"response_format": {"kind": "json_object"}},
        {"messages": (Message("system", (Text("Be brief."),)), Message("user", (Text(RESET),)))},
        {"messages": (Message("user", (Text(RESET),), name="bob"),)},
        {"messages": (Message("user", (Text(RESET), Text("more"))),)},
    ],
)  # fmt: skip
def test_everything_else_is_another_scope(change: dict[str, Any]) -> None:
    assert scope_key("a", request(**change), "s") != scope_key("a", request(), "s")


def test_another_vector_space_is_another_scope() -> None:
    assert scope_key("a", request(), "one") != scope_key("a", request(), "other")


@pytest.mark.parametrize(
    "asked",
    [
        request(tools=(Tool("t", "", {}),)),
        request(messages=(Message("user", (Text(RESET), Image(url="https://x/y.png"))),)),
        request(RESET, Message("user", (Image(url="https://x/y.png"),))),
        request(RESET, Message("user", (ToolResult("c", (Text("x"),)),))),
        request(messages=(Message("user", (Text(RESET),)), Message("assistant", (Text("It"),)))),
        request(messages=()),
        request(""), request("12 + 7?"), request("a" * (MOST_CHARACTERS + 1)),
    ],
)  # fmt: skip
def test_what_is_no_question_of_text_alone_is_not_compared(asked: CanonicalRequest) -> None:
    assert question(asked) == ""


def test_parts_of_the_last_message_are_one_question() -> None:
    assert question(request(messages=(Message("user", (Text("a"), Text("b"))),))) == "a\nb"


# --- on a real Valkey


class Words:
    """An embedder whose vectors are chosen here."""

    name = "words"

    def __init__(self) -> None:
        self.calls = 0
        self.error: NoVector | None = None

    async def embed(self, text: str) -> Vector:
        self.calls += 1
        if self.error is not None:
            raise self.error
        angle = float(text.rpartition("@")[2]) if "@" in text else 0.0
        vector = unit([np.cos(np.radians(angle)), np.sin(np.radians(angle)), *[0.0] * 6])
        assert vector is not None
        return vector


class Counted:
    """One process's cache, with its metrics and its own connection."""

    def __init__(self, embedder: Any, link: RedisLink, **more: Any) -> None:
        self.metrics = Metrics()
        self.link = link
        self.cache = SemanticCache(
            embedder, link, self.metrics, **{"threshold": 0.92, "entries": 100, **more}
        )

    def unanswered(self, reason: str) -> float:
        return self.value("superagent_semantic_cache_unanswered_total", {"reason": reason})

    def value(self, name: str, labels: dict[str, str]) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    async def look(self, text: str, account: str = "a", **more: Any) -> Look:
        found = await self.cache.look(account, request(text, **more), f"{account} {text} {more}")
        assert found is not None
        return found

    async def teach(self, text: str, answer: str, account: str = "a", seconds: int = 60, **more: Any) -> None:
        """What the pipeline does after a miss."""
        asked = request(text, **more)
        look = await self.cache.look(account, asked, "")
        assert look is not None
        key = exact.cache_key(Principal("key", account, "x", "key", frozenset()), asked)
        data = exact.pack_entry(entry(answer))
        await self.link.send(pack(("SET", key, data, "EX", seconds)), 1)
        self.cache.keep(look, key, seconds)
        await self.link.call("PING")  # what was posted before it has been done

    async def answer(self, text: str, account: str = "a", **more: Any) -> str | None:
        found = (await self.look(text, account, **more)).entry
        return None if found is None else found.response.text


def entry(answer: str) -> Entry:
    response = CanonicalResponse(id="x", model="m", parts=(Text(answer),), finish="stop", usage=Usage(3, 4))
    return Entry(response, "fake", "m", 0.5)


@contextlib.asynccontextmanager
async def linked(url: str, timeout: float = 5.0) -> AsyncIterator[RedisLink]:
    link = RedisLink(Address(url), timeout)
    await link.start()
    try:
        yield link
    finally:
        await link.close()


@pytest.fixture(scope="module")
def store() -> Iterator[Valkey]:
    with valkey() as one:
        yield one


@pytest_asyncio.fixture
async def link(store: Valkey) -> AsyncIterator[RedisLink]:
    async with linked(store.url) as one:
        await one.call("FLUSHALL")
        yield one


pytestmark = pytest.mark.component


async def test_a_reworded_question_has_the_answer_and_another_one_does_not(link: RedisLink) -> None:
    one = Counted(local(), link)
    await one.teach(RESET, "Click on it.")
    assert await one.answer(REWORDED) == "Click on it."
    assert await one.answer("How do I bake bread?") is None
    assert one.value("superagent_cache_hits_total", {"cache": "semantic"}) == 1
    assert one.value("superagent_cache_misses_total", {"cache": "semantic"}) == 2


async def test_what_is_similar_but_means_something_else_is_refused_and_counted(link: RedisLink) -> None:
    one = Counted(local(), link, threshold=0.5)
    await one.teach("Is this mushroom edible?", "Yes.")
    assert await one.answer("Is this mushroom not edible?") is None
    assert one.unanswered("guard") == 1


async def test_the_next_best_is_taken_when_the_best_means_something_else(link: RedisLink) -> None:
    one = Counted(local(), link)
    await one.teach("Is it true that Alice pays Bob?", "first")
    await one.teach("Is it true that Bob pays Alice?", "second")
    assert await one.answer(
        "is it true that Bob is paying Alice",
    ) in {"second", None}
    assert await one.answer("Is it really true that Bob pays Alice?") == "second"


async def test_the_threshold_decides(link: RedisLink) -> None:
    one = Counted(Words(), link)
    await one.teach("What is red @0", "red")  # 23.07 degrees are a cosine of 0.92
    assert await one.answer("What is red @0") == "red"
    looked = await one.cache.look("a", request("say what is red", user=None), "")
    assert (
        looked is not None and looked.entry is None
    )  # other words than those kept: the sign "@0" is missing

    for angle, found in ((22.9, True), (23.2, False)):
        vector = unit([np.cos(np.radians(angle)), np.sin(np.radians(angle)), *[0.0] * 6])
        assert vector is not None
        near = msgspec.structs.replace(looked, text="What is red @0", vector=vector)
        near.place = near.index.place(vector)
        assert (await one.cache._find(near) is not None) == found, angle


async def test_accounts_are_never_answered_from_one_another(link: RedisLink) -> None:
    one = Counted(local(), link)
    await one.teach(RESET, "for a", "a")
    for account in ("b", "A", "a ", "", "a}:s:{a", "{a}"):
        assert await one.answer(RESET, account) is None
        assert await one.answer(REWORDED, account) is None
    assert await one.answer(REWORDED, "a") == "for a"


async def test_an_entry_that_names_another_account_s_answer_finds_nothing(link: RedisLink) -> None:
    """Even whoever could write into the index reaches answers of this account alone."""
    one = Counted(local(), link)
    await one.teach(RESET, "for a", "a")
    secret = exact.cache_key(Principal("key", "a", "x", "key", frozenset()), request(RESET))
    for stolen in (secret, secret.rpartition(":")[2], f"x}}:x:{secret}"):
        one.cache.keep(await one.look(RESET, "b"), stolen, 60)
        assert await one.answer(RESET, "b") is None


async def test_questions_and_answers_leave_after_their_time(link: RedisLink) -> None:
    one = Counted(local(), link)
    await one.teach(RESET, "x", seconds=30)
    look = await one.look(RESET)
    assert 25 <= await link.call("TTL", look.key) <= 30
    await link.call("DEL", exact.cache_key(Principal("k", "a", "x", "key", frozenset()), request(RESET)))
    assert await one.answer(REWORDED) is None  # the answer left first


async def test_a_question_older_than_its_answer_s_time_is_not_used(link: RedisLink) -> None:
    one = Counted(local(), link)
    look = await one.look(RESET)
    key = exact.cache_key(Principal("k", "a", "x", "key", frozenset()), request(RESET))
    await link.call("SET", key, exact.pack_entry(entry("x")))
    one.cache.keep(look, key, 60)
    assert await one.answer(REWORDED) == "x"
    await one.teach("How do I bake bread?", "oven", seconds=3600)  # keeps the scope alive
    real, time.time = time.time, lambda: real() + 61
    try:
        assert await one.answer(REWORDED) is None
        assert await one.answer("How can I bake bread?") == "oven"
    finally:
        time.time = real


async def test_a_scope_holds_so_many_questions_and_no_more(link: RedisLink) -> None:
    one = Counted(local(), link, entries=16)
    await one.teach(RESET, "oldest")
    for number in range(40):
        await one.teach(f"What is the root of {number}?", str(number))
    assert await one.answer(REWORDED) is None
    assert await one.answer("What is the root of 39") == "39"
    look = await one.look(RESET)
    fields = await link.call("HKEYS", look.key)
    assert sum(1 for field in fields if field.startswith(b"e") and len(field) == 5) == 16
    assert len(fields) <= 16 + 1 + 6 * 16


async def test_two_processes_share_it(store: Valkey, link: RedisLink) -> None:
    async with linked(store.url) as another:
        one, other = Counted(local(), link), Counted(local(), another)
        await one.teach(RESET, "from one")
        assert await other.answer(REWORDED) == "from one"


async def test_vectors_of_another_model_are_not_compared(link: RedisLink) -> None:
    one, other = Words(), Words()
    other.name = "other words"
    await Counted(one, link).teach("What is red?", "red")
    assert await Counted(one, link).answer("what is red") == "red"
    assert await Counted(other, link).answer("what is red") is None


@pytest.mark.parametrize("rubbish", [b"", b"\xff\xfe", b"abcd" * 100, b"\x94\x01\xa1x\xa1y\xc4\x01z"])
async def test_corrupted_entries_are_misses(link: RedisLink, rubbish: bytes) -> None:
    one = Counted(local(), link)
    await one.teach(RESET, "x")
    look = await one.look(RESET)
    for field in await link.call("HKEYS", look.key):
        await link.call("HSET", look.key, field, rubbish)
    assert await one.answer(REWORDED) is None
    one.cache.keep(look, "sa:{a}:x:abc", 60)  # a counter that is no number: the script fails, nobody waits
    assert await one.answer(REWORDED) is None


async def test_a_key_of_another_kind_is_a_miss_and_counted(link: RedisLink) -> None:
    one = Counted(local(), link)
    look = await one.look(RESET)
    await link.call("SET", look.key, "a string")
    assert await one.cache.look("a", request(RESET), "") is None
    assert one.unanswered("store") == 1


async def test_a_failing_embedder_is_a_miss_and_counted(link: RedisLink) -> None:
    embedder = Words()
    one = Counted(embedder, link)
    embedder.error = NoVector("resting")
    assert await one.cache.look("a", request("x"), "") is None
    assert one.unanswered("resting") == 1
    assert one.value("superagent_cache_misses_total", {"cache": "semantic"}) == 1


async def test_identical_questions_at_once_are_one_look(link: RedisLink) -> None:
    embedder = Words()
    one = Counted(embedder, link)
    await one.teach("What is red?", "red")
    embedder.calls = 0
    asked = [one.look("what is red") for _ in range(5)]
    assert [look.entry is not None for look in await asyncio.gather(*asked)] == [True] * 5
    assert embedder.calls == 1
    assert one.value("superagent_cache_hits_total", {"cache": "semantic"}) == 5
    await one.look("what is red")
    assert embedder.calls == 2


async def test_a_look_whose_first_asker_leaves_goes_on_for_the_others(link: RedisLink) -> None:
    one = Counted(Words(), link)
    await one.teach("What is red?", "red")
    first = asyncio.create_task(one.look("what is red"))
    await asyncio.sleep(0)
    second = asyncio.create_task(one.look("what is red"))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).entry is not None
    assert first.cancelled()


async def test_a_slow_redis_and_a_dead_one_are_misses(store: Valkey) -> None:
    with slow(store.port) as line:
        async with linked(line.url, 0.2) as link:
            one = Counted(local(), link)
            await one.teach(RESET, "x")
            assert await one.answer(REWORDED) == "x"
            line.delay = 5.0
            began = time.monotonic()
            assert await one.cache.look("a", request(REWORDED), "") is None
            assert time.monotonic() - began < 4
            line.delay = 0.0
            assert await back(one) == "x"
            store.kill()
            assert await one.cache.look("a", request(REWORDED), "") is None
            assert one.unanswered("store") >= 2
            store.start()
            assert await back(one) is None
            await one.teach(RESET, "again")
            assert await one.answer(REWORDED) == "again"


async def back(one: Counted) -> str | None:
    """What it answers as soon as Redis can be asked again."""
    async with asyncio.timeout(30):
        while True:
            look = await one.cache.look("a", request(REWORDED), "")
            if look is not None:
                return look.entry.response.text if look.entry is not None else None
            await asyncio.sleep(0.02)
