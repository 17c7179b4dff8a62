"""Claims in Redis: kept alive by their holder, freed by its death, never taken from somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from service.storage.leases import Leases
from service.storage.redis_link import Address, RedisLink

pytestmark = pytest.mark.component


@pytest_asyncio.fixture
async def link(valkey_server: str) -> AsyncIterator[RedisLink]:
    one = RedisLink(Address(valkey_server), 1.0)
    await one.start()
    await one.call("FLUSHALL")
    yield one
    await one.close()


async def claim(link: RedisLink, leases: Leases, key: str) -> None:
    await link.call("SET", key, leases.token, "NX", "PX", leases.milliseconds)
    leases.hold(key, "")


async def gone(link: RedisLink, key: str) -> None:
    async with asyncio.timeout(10):
        while await link.call("EXISTS", key):
            await asyncio.sleep(0.01)


async def test_a_claim_outlives_its_time_while_its_holder_lives(link: RedisLink) -> None:
    leases = Leases(link, 0.3)
    leases.start()
    await claim(link, leases, "a")
    renewed = 0
    async with asyncio.timeout(10):
        left = await link.call("PTTL", "a")
        while renewed < 4:  # longer than it was given
            await asyncio.sleep(0.02)
            now = await link.call("PTTL", "a")
            assert now > 0
            renewed += now > left
            left = now
    await leases.close()  # as if it had died
    await gone(link, "a")


async def test_what_another_holds_by_now_is_neither_renewed_nor_released(link: RedisLink) -> None:
    leases = Leases(link, 0.3)
    leases.start()
    await claim(link, leases, "a")
    await link.call("SET", "a", "another", "PX", 400)
    await gone(link, "a")  # not kept alive by us
    await link.call("SET", "a", "another")
    leases.release("a")
    await link.call("PING")
    assert await link.call("GET", "a") == b"another"
    await leases.close()


async def test_a_released_claim_is_free_at_once(link: RedisLink) -> None:
    leases = Leases(link, 100)
    await claim(link, leases, "a")
    leases.release("a")
    await link.call("PING")
    assert not await link.call("EXISTS", "a")
