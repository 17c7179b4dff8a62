"""Identical requests at two processes: one call of a provider, and nobody waits for a dead one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from service.providers.errors import ProviderError
from tests.service.gated import COST, GatedRouter
from tests.service.running import Running, prepare, running
from tests.service.stores import Valkey, valkey

pytestmark = pytest.mark.component
SAME: Any = {"model": "m", "temperature": 0, "messages": [{"role": "user", "content": "same"}]}


@pytest.fixture(scope="module")
def redis() -> Iterator[Valkey]:
    with valkey() as one:
        yield one


class Two:
    """Two services that know nothing of one another but Redis, each with a provider of its own."""

    def __init__(self, nodes: list[Running], client: httpx.AsyncClient, key: str, url: str) -> None:
        self.nodes, self._client, self.database_url = nodes, client, url
        self._headers = {"authorization": f"Bearer {key}"}

    def ask(self, node: int) -> asyncio.Task[httpx.Response]:
        url = self.nodes[node].url + "/v1/chat/completions"
        return asyncio.create_task(self._client.post(url, json=SAME, headers=self._headers))

    def provider(self, node: int) -> GatedRouter:
        router: GatedRouter = self.nodes[node].router
        return router

    async def lead(self) -> asyncio.Task[httpx.Response]:
        asking = self.ask(0)
        await until(lambda: self.provider(0).calls == 1)
        return asking

    async def follow(self) -> asyncio.Task[httpx.Response]:
        """Asked of the other node, where it waits for the first one's answer."""
        link = self.nodes[1].service.link
        assert link is not None
        looks, send = [0], link.send

        def counted(data: bytes, *rest: Any) -> Any:
            looks[0] += b":by" in data
            return send(data, *rest)

        link.send = counted  # type: ignore[method-assign]
        asking = self.ask(1)
        await until(lambda: looks[0] >= 2)
        assert self.provider(1).calls == 0
        return asking


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@pytest_asyncio.fixture
async def two(database_url: str, redis: Valkey, request: pytest.FixtureRequest) -> AsyncIterator[Two]:
    if redis.process is None or redis.process.poll() is not None:
        redis.start()
    redis.thaw()
    key = prepare(database_url, "chat")
    environ = {"REDIS_URL": redis.url, "CACHE_SHARE_SECONDS": getattr(request, "param", "60")}
    async with (
        running(database_url, GatedRouter(), **environ) as one,
        running(database_url, GatedRouter(), **environ) as other,
        httpx.AsyncClient(timeout=30) as client,
    ):
        yield Two([one, other], client, key, database_url)


def answered(response: httpx.Response) -> tuple[int, str, str]:
    body = response.json()
    return (
        response.status_code,
        response.headers["x-superagent-cache"],
        body["choices"][0]["message"]["content"],
    )


async def test_the_second_process_waits_for_the_firsts_answer_and_pays_nothing(two: Two) -> None:
    leader, follower = await two.lead(), await two.follow()
    two.provider(0).say("one answer")
    two.provider(0).finish()
    assert answered(await leader) == (200, "miss", "one answer")
    assert answered(await follower) == (200, "shared", "one answer")
    assert two.provider(1).calls == 0
    connection = await asyncpg.connect(two.database_url)
    try:
        async with asyncio.timeout(20):
            while (
                len(rows := await connection.fetch("select cache, cost_usd::float8 from usage order by 1"))
                < 2
            ):
                await asyncio.sleep(0.02)
    finally:
        await connection.close()
    assert [tuple(row) for row in rows] == [("", COST), ("shared", 0.0)]


async def test_when_the_first_fails_the_second_asks_for_itself(two: Two) -> None:
    leader, follower = await two.lead(), await two.follow()
    two.provider(0).fail(ProviderError("overloaded", "no"))
    assert (await leader).status_code == 503
    two.provider(1).say("mine")
    two.provider(1).finish()
    assert answered(await follower) == (200, "miss", "mine")


async def test_when_the_first_process_dies_the_second_asks_for_itself(two: Two) -> None:
    leader, follower = await two.lead(), await two.follow()
    service = two.nodes[0].service
    await service.leases.close()  # nobody renews its claim any more, nor gives it back: so looks a death
    service.leases._link = None
    two.provider(1).say("mine")
    two.provider(1).finish()
    assert answered(await follower) == (200, "miss", "mine")
    leader.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await leader


@pytest.mark.parametrize("two", ["0.2"], indirect=True)
async def test_a_wait_has_a_bound(two: Two) -> None:
    leader, follower = await two.lead(), await two.follow()
    two.provider(1).say("mine")
    two.provider(1).finish()
    assert answered(await follower) == (200, "miss", "mine")
    two.provider(0).finish()
    await leader


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_redis_lost_while_one_waits_hangs_nobody(two: Two, redis: Valkey, how: str) -> None:
    leader, follower = await two.lead(), await two.follow()
    getattr(redis, how)()
    two.provider(1).say("mine")
    two.provider(1).finish()
    assert answered(await follower) == (200, "miss", "mine")
    two.provider(0).say("first")
    two.provider(0).finish()
    assert answered(await leader)[2] == "first"


@pytest.mark.parametrize("two", ["0"], indirect=True)
async def test_without_the_setting_nobody_waits(two: Two) -> None:
    leader = await two.lead()
    two.provider(1).say("mine")
    two.provider(1).finish()
    assert answered(await two.ask(1)) == (200, "miss", "mine")
    two.provider(0).finish()
    await leader
