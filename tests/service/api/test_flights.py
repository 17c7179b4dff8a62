"""Identical requests at the same time: one call of a provider, and nobody depends on another's client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from service.providers.errors import ProviderError
from tests.service.gated import COST, GatedRouter
from tests.service.running import Running, prepare, running

pytestmark = pytest.mark.component


async def until(condition: Callable[[], Any], what: str) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)
    assert condition(), what


class Asking:
    """One request on a socket of its own, read as it comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.seen = b""

    async def until(self, text: bytes) -> None:
        async with asyncio.timeout(20):
            while text not in self.seen:
                piece = await self.reader.read(65_536)
                assert piece, self.seen[-500:]
                self.seen += piece

    def leave(self) -> None:
        self.writer.transport.abort()


class House:
    """A service whose provider is in the test's hand."""

    def __init__(self, service: Running, router: GatedRouter, key: str, url: str) -> None:
        self.service, self.router, self.key, self.database_url = service, router, key, url

    @property
    def open(self) -> int:
        return self.service.service.edge.open_requests

    async def ask(self, *, stream: bool, content: str = "same") -> Asking:
        body = {
            "model": "m", "temperature": 0, "stream": stream,
            "messages": [{"role": "user", "content": content}],
        }  # fmt: skip
        data = json.dumps(body).encode()
        before = self.open
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", int(self.service.url.rsplit(":", 1)[1]), limit=1
        )
        writer.write(
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {self.key}\r\n"
            f"connection: close\r\ncontent-length: {len(data)}\r\n\r\n".encode()
            + data
        )
        await until(lambda: self.open > before, "the request is being answered")
        return Asking(reader, writer)

    async def rows(self, number: int) -> list[tuple[str, str, float, int]]:
        """(outcome, cache, cost, output tokens) of each booked call, by outcome and cache."""
        connection = await asyncpg.connect(self.database_url)
        try:
            async with asyncio.timeout(20):
                while True:
                    found = await connection.fetch(
                        "select outcome, cache, cost_usd::float8, output_tokens from usage order by 1, 2, 3"
                    )
                    if len(found) >= number:
                        return [tuple(row) for row in found]
                    await asyncio.sleep(0.02)
        finally:
            await connection.close()


@pytest_asyncio.fixture
async def house(database_url: str, valkey_server: str) -> AsyncIterator[House]:
    key, router = prepare(database_url, "chat"), GatedRouter()
    async with running(database_url, router, REDIS_URL=valkey_server) as service:
        yield House(service, router, key, database_url)


async def joined(house: House, *, stream: bool, count: int) -> list[Asking]:
    """The leader first, then those who wait for it."""
    leader = await house.ask(stream=stream)
    await until(lambda: house.router.calls == 1, "the leader asks the provider")
    return [leader, *[await house.ask(stream=stream) for _ in range(count - 1)]]


async def settled(house: House, count: int) -> None:
    """All of them have passed admission and wait: their connections hear of a client that leaves."""
    connections = house.service.service.edge.connections
    await until(lambda: sum(one.on_disconnect is not None for one in connections) == count, "all wait")
    await asyncio.sleep(0)


async def test_one_call_answers_all_and_one_of_them_pays(house: House) -> None:
    clients = await joined(house, stream=False, count=4)
    await settled(house, 4)
    house.router.say("one ", "answer")
    house.router.finish()
    for one in clients:
        await one.until(b"one answer")
    assert house.router.calls == 1
    marks = sorted(b"x-superagent-cache: shared" in one.seen for one in clients)
    assert marks == [False, True, True, True]
    assert await house.rows(4) == [("ok", "", COST, 2), *[("ok", "shared", 0.0, 2)] * 3]


async def test_a_leader_whose_client_leaves_answers_its_followers(house: House) -> None:
    leader, follower = await joined(house, stream=False, count=2)
    await settled(house, 2)
    leader.leave()
    await settled(house, 1)
    house.router.say("still")
    house.router.finish()
    await follower.until(b"still")
    assert (house.router.calls, house.router.cancelled) == (1, 0)
    assert await house.rows(2) == [("cancelled", "", 0.0, 0), ("ok", "", COST, 1)]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_is_paid_once_and_by_a_key_that_was_answered(house: House, stream: bool) -> None:
    """Keys of one account share answers and a budget; the ledger says which of them got this one."""
    first, keys = house.key, house.service.service.keys
    [row] = await house.service.service.database.fetch("select id from api_keys where name = 'test'")
    rotated = await keys.rotate(row["id"], 3600)
    assert rotated is not None
    leader = await house.ask(stream=stream)
    await until(lambda: house.router.calls == 1, "the leader asks the provider")
    house.key, second = rotated[0], rotated[1]["id"]
    follower = await house.ask(stream=stream)
    await settled(house, 2)
    house.key = first
    other = await house.ask(stream=stream)
    await settled(house, 3)
    leader.leave()
    await settled(house, 2)
    house.router.say("an ", "answer")
    house.router.finish()
    await follower.until(b"[DONE]" if stream else b"an answer")
    await other.until(b"[DONE]" if stream else b"an answer")
    assert (house.router.calls, house.router.cancelled) == (1, 0)
    assert await house.rows(3) == [("cancelled", "", 0.0, 0), ("ok", "", COST, 2), ("ok", "shared", 0.0, 2)]
    paid = await house.service.service.database.fetch("select key_id from usage where cost_usd > 0")
    assert [one["key_id"] for one in paid] == [second]


@pytest.mark.parametrize("stream", [False, True])
async def test_when_all_have_left_the_provider_is_hung_up_on(house: House, stream: bool) -> None:
    clients = await joined(house, stream=stream, count=3)
    await settled(house, 3)
    for left, one in enumerate(clients):
        one.leave()
        await settled(house, 2 - left)
    await until(lambda: house.router.ended == 1, "the provider's call is over")
    await until(lambda: house.open == 0, "nothing is left")
    assert house.router.cancelled == 1


async def test_the_leaders_failure_is_everybodys_and_is_not_repeated(house: House) -> None:
    clients = await joined(house, stream=False, count=3)
    await settled(house, 3)
    house.router.fail(ProviderError("rate_limited", "slow down", retry_after=7))
    for one in clients:
        await one.until(b"slow down")
        assert one.seen.startswith(b"HTTP/1.1 429")
    assert house.router.calls == 1


async def test_readers_of_one_stream_see_the_same_whenever_they_came(house: House) -> None:
    leader, early = await joined(house, stream=True, count=2)
    house.router.say("first ")
    await leader.until(b"first ")
    await early.until(b"first ")
    late = await house.ask(stream=True)
    await late.until(b"first ")  # at once: it need not wait for the next event
    house.router.say("second ")
    house.router.finish()
    for one in (leader, early, late):
        await one.until(b"[DONE]")
        assert one.seen.index(b"first ") < one.seen.index(b"second ")
    assert house.router.calls == 1
    assert [b"x-superagent-cache: shared" in one.seen for one in (leader, early, late)] == [False, True, True]
    assert await house.rows(3) == [("ok", "", COST, 2), *[("ok", "shared", 0.0, 2)] * 2]


@pytest.mark.parametrize("fetching", [True, False])
async def test_a_leader_that_leaves_cuts_no_follower_and_the_cost_is_booked_once(
    house: House, fetching: bool
) -> None:
    leader, follower = await joined(house, stream=True, count=2)
    house.router.say("one ")
    await leader.until(b"one ")
    await follower.until(b"one ")
    await settled(house, 2)
    (leader if fetching else follower).leave()  # the leader is the one that fetches
    await settled(house, 1)
    await until(lambda: house.open == 1 + fetching, "it only stays to bring in one more event")
    stays = follower if fetching else leader
    house.router.say("two ")
    await stays.until(b"two ")
    await until(lambda: house.open == 1, "the other is gone")
    house.router.say("three ")
    house.router.finish()
    await stays.until(b"[DONE]")
    assert (house.router.calls, house.router.cancelled) == (1, 0)
    rows = await house.rows(2)
    assert [row[0] for row in rows] == ["cancelled", "ok"]
    assert sum(row[2] for row in rows) == COST


async def test_a_broken_stream_is_cut_for_every_reader(house: House) -> None:
    clients = await joined(house, stream=True, count=2)
    house.router.say("begun ")
    for one in clients:
        await one.until(b"begun ")
    house.router.fail(ProviderError("transport", "the upstream went away"))
    for one in clients:
        await one.until(b"the upstream went away")
        assert b"[DONE]" not in one.seen
    rows = await house.rows(2)
    assert [row[0] for row in rows] == ["cut", "cut"]
    assert sum(row[2] for row in rows) == COST


@pytest.mark.parametrize("slow", [0, 1])
async def test_a_reader_that_does_not_read_holds_nobody_up(house: House, slow: int) -> None:
    clients = await joined(house, stream=True, count=2)
    fast = clients[1 - slow]
    clients[slow].writer.transport.pause_reading()  # type: ignore[attr-defined]
    for number in range(60):  # more than sockets hold
        house.router.say(f"{number}-" + "x" * 100_000)
        await fast.until(b'"%d-xx' % number)
    house.router.finish()
    await fast.until(b"[DONE]")
    clients[slow].leave()
    await until(lambda: house.open == 0, "nothing is left")
    rows = await house.rows(2)
    assert sum(row[2] for row in rows) == COST


async def test_who_asks_afresh_or_something_else_shares_nothing(house: House) -> None:
    first = await house.ask(stream=True)
    other = await house.ask(stream=True, content="other")
    await until(lambda: house.router.calls == 2, "two calls")
    async with httpx.AsyncClient(timeout=20) as client:
        asking = asyncio.create_task(
            client.post(
                house.service.url + "/v1/chat/completions",
                json={"model": "m", "temperature": 0, "messages": [{"role": "user", "content": "same"}]},
                headers={"authorization": f"Bearer {house.key}", "cache-control": "no-cache"},
            )
        )
        await until(lambda: house.router.calls == 3, "a third one")
        for _ in range(3):
            house.router.finish()
        await first.until(b"[DONE]")
        await other.until(b"[DONE]")
        assert (await asking).status_code == 200
