"""The exact cache: one account's answers are never another's, and every word of the request counts."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.auth.permissions import Principal
from service.cache.exact import NEVER, OPT_IN, Collector, Policy, cache_key, policy
from service.providers.base import (
    CanonicalRequest,
    Message,
    StreamEnd,
    StreamStart,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Tool,
    Usage,
)
from tests.service.running import create_key, prepare, running

accounts = st.text(min_size=1, max_size=20)
words = st.text(max_size=30)


def principal(account: str, identity: str = "key") -> Principal:
    return Principal(identity, account, "name", "key", frozenset({"chat"}))


def request(text: str, **more: Any) -> CanonicalRequest:
    return CanonicalRequest(model="m", messages=(Message("user", (Text(text),)),), temperature=0, **more)


@given(accounts, accounts, words)
def test_accounts_share_a_key_only_with_themselves(one: str, other: str, text: str) -> None:
    same = cache_key(principal(one), request(text)) == cache_key(principal(other), request(text))
    assert same == (one == other)


@given(words, words)
def test_another_request_has_another_key(one: str, other: str) -> None:
    same = cache_key(principal("a"), request(one)) == cache_key(principal("a"), request(other))
    assert same == (one == other)


def test_a_rotated_key_keeps_its_answers() -> None:
    assert cache_key(principal("a", "old"), request("x")) == cache_key(principal("a", "new"), request("x"))


@pytest.mark.parametrize("change", [{"model": "n"}, {"max_tokens": 5}, {"stop": ("a",)}, {"seed": 1}])
def test_what_changes_the_answer_changes_the_key(change: dict[str, Any]) -> None:
    changed = msgspec.structs.replace(request("x"), **change)
    assert cache_key(principal("a"), changed) != cache_key(principal("a"), request("x"))


def test_who_may_be_answered_from_it() -> None:
    warm = msgspec.structs.replace(request("x"), temperature=None)
    assert policy(request("x"), {}) == Policy(True, True)
    assert policy(warm, {}) == NEVER
    assert policy(warm, {OPT_IN: b"use"}) == Policy(True, True)
    assert policy(request("x"), {b"cache-control": b"no-cache"}) == Policy(False, True)
    assert policy(request("x"), {b"cache-control": b"No-Store"}) == NEVER
    assert policy(request("x", tools=(Tool("t", "", {}),)), {}) == NEVER


@pytest.mark.component
async def test_two_clients_with_the_same_question_are_answered_apart(
    database_url: str, valkey_server: str
) -> None:
    keys = [prepare(database_url, "chat"), create_key(database_url, "chat")]
    body = {"model": "m", "messages": [{"role": "user", "content": "who am I"}], "temperature": 0}
    async with running(database_url, REDIS_URL=valkey_server) as service, httpx.AsyncClient() as client:
        seen = []
        for key in [keys[0], keys[0], keys[1], keys[1]]:
            answer = await client.post(
                f"{service.url}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}
            )
            seen.append(answer.headers["x-superagent-cache"])
    assert seen == ["miss", "exact", "miss", "exact"]
    assert service.router.calls == 2


def test_reasoning_that_came_in_pieces_is_kept_in_the_blocks_it_was_written_in() -> None:
    """Who asks for a whole answer later gets it so, and can send its signature back."""
    pieces = [
        ThinkingDelta("first "), ThinkingDelta("this"), ThinkingDelta(signature="s1"),
        ThinkingDelta(redacted="secret"), ThinkingDelta("then "), ThinkingDelta("that", "s2"),
        ThinkingDelta("and "), ThinkingDelta("so"),
    ]  # fmt: skip
    collector = Collector()
    for event in (StreamStart("x", "m"), *pieces, TextDelta("an "), TextDelta("answer")):
        collector.add(event)
    blocks = (Thinking("first this", "s1"), Thinking(redacted="secret"), Thinking("then that", "s2"))
    whole = collector.whole(StreamEnd("stop", Usage()))
    assert whole.parts == (*blocks, Thinking("and so"), Text("an answer"))


def test_reasoning_alone_is_kept_without_a_text() -> None:
    collector = Collector()
    collector.add(ThinkingDelta("hm"))
    assert collector.whole(StreamEnd("length", Usage())).parts == (Thinking("hm"),)
    assert Collector().whole(StreamEnd("stop", Usage())).parts == (Text(""),)
