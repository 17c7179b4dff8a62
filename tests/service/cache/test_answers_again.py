"""An answer that was given before, over HTTP: kept, bounded, replayed as a stream, and asked for once."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from prometheus_client import generate_latest

from service.storage.redis_link import Address, RedisLink
from tests.service.fake import FakeRouter
from tests.service.running import Running, prepare, running

pytestmark = pytest.mark.component


class Client:
    """Asks one service with one key; each question is new unless it is named."""

    def __init__(self, service: Running, http: httpx.AsyncClient) -> None:
        self.service, self.http = service, http

    async def ask(self, text: str, *, stream: bool = False, **headers: str) -> httpx.Response:
        body: dict[str, Any] = {
            "model": "m",
            "messages": [{"role": "user", "content": text}],
            "temperature": 0,
        }
        if stream:
            body["stream"] = True
        answer = await self.http.post("/v1/chat/completions", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer

    async def how(self, text: str, **headers: str) -> str:
        """What the cache had to do with the answer."""
        return (await self.ask(text, **headers)).headers["x-superagent-cache"]


@pytest_asyncio.fixture
async def client(database_url: str, valkey_server: str) -> AsyncIterator[Client]:
    key = prepare(database_url, "chat")
    environ = {"REDIS_URL": valkey_server, "CACHE_SECONDS": "100", "CACHE_MAX_BYTES": "1024"}
    async with (
        running(database_url, FakeRouter(), **environ) as service,
        httpx.AsyncClient(base_url=service.url, headers={"authorization": f"Bearer {key}"}) as http,
    ):
        yield Client(service, http)


def new() -> str:
    return f"hello big {uuid.uuid4().hex}"


def words(answer: httpx.Response) -> list[str]:
    """The texts of a stream's events, which must be whole."""
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n") if line]
    assert lines[-1] == "[DONE]"
    deltas = [json.loads(line)["choices"][0]["delta"] for line in lines[:-1]]
    return [delta["content"] for delta in deltas if delta.get("content")]


async def test_no_store_keeps_nothing_and_no_cache_asks_afresh(client: Client) -> None:
    text = new()
    assert await client.how(text, **{"Cache-Control": "no-store"}) == "bypass"
    assert await client.how(text) == "miss"
    assert await client.how(text, **{"Cache-Control": "no-cache"}) == "bypass"
    assert await client.how(text) == "exact"
    assert client.service.router.calls == 3


async def test_an_answer_is_kept_for_its_time_and_no_longer(client: Client, valkey_server: str) -> None:
    link = RedisLink(Address(valkey_server), 2.0)
    await link.start()
    before = set(await link.call("KEYS", "sa:*:x:*"))
    await client.ask(new())
    kept: set[bytes] = set()
    async with asyncio.timeout(10):
        while not kept:
            kept = set(await link.call("KEYS", "sa:*:x:*")) - before
    assert 90 < await link.call("TTL", kept.pop().decode()) <= 100
    await link.close()


async def test_an_answer_over_the_limit_is_not_kept(client: Client) -> None:
    long = new() + "x" * 2000
    assert [await client.how(long), await client.how(long)] == ["miss", "miss"]


async def test_a_stream_is_kept_and_replayed_as_a_stream(client: Client) -> None:
    text = new()
    first = await client.ask(text, stream=True)
    again = await client.ask(text, stream=True)
    assert again.headers["x-superagent-cache"] == "exact"
    assert again.headers["content-type"].startswith("text/event-stream")
    assert len(words(again)) == 3  # word by word, as it was said
    assert "".join(words(again)).split() == "".join(words(first)).split() == text.split()
    assert client.service.router.calls == 1
    assert await client.how(text) == "exact"  # and whole for who does not stream


async def test_the_same_question_at_once_is_asked_once(client: Client) -> None:
    text = new()
    client.service.router.delay = 0.2
    answers = await asyncio.gather(*[client.ask(text) for _ in range(5)])
    assert client.service.router.calls == 1
    how = sorted(answer.headers["x-superagent-cache"] for answer in answers)
    assert how == ["miss", "shared", "shared", "shared", "shared"]
    assert len({answer.json()["choices"][0]["message"]["content"] for answer in answers}) == 1
    assert len({answer.headers["x-request-id"] for answer in answers}) == 5


async def test_a_kept_answer_is_counted_with_what_it_saved(client: Client) -> None:
    text = new()
    for _ in range(3):
        await client.ask(text)
    told = generate_latest(client.service.service.metrics.registry).decode()
    assert 'superagent_cache_hits_total{cache="exact"} 2.0' in told
    assert 'superagent_cache_misses_total{cache="exact"} 1.0' in told
    assert "superagent_cache_saved_usd_total 0.002" in told
