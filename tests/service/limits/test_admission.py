"""Admission: budgets hold under concurrency, reservations are settled, and a lost Redis changes little."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from service.auth.permissions import Limits, Principal
from service.limits.admission import Admission
from service.limits.limiter import Plan, Plans, Rates
from service.limits.local import LocalBuckets
from service.storage.database import StoreUnavailable
from service.storage.redis_link import Address, RedisLink

pytestmark = pytest.mark.component


def plan(*, budget: float | None = None, limits: Limits | None = None, rates: Rates | None = None) -> Plan:
    name = f"key_{uuid.uuid4().hex}"
    who = Principal(name, name, "x", "key", frozenset(), limits=limits or Limits(), budget_usd=budget)
    return Plans(rates or Rates()).plan(who, "/x")


class Spent:
    def __init__(self, usd: float) -> None:
        self.usd = usd
        self.asked = 0
        self.away = False

    async def __call__(self, counter: str) -> float:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("postgres")
        return self.usd


@pytest_asyncio.fixture
async def link(valkey_server: str) -> AsyncIterator[RedisLink]:
    link = RedisLink(Address(valkey_server), 2.0)
    yield link
    await link.close()


async def test_a_budget_starts_at_what_the_ledger_says(link: RedisLink) -> None:
    spent = Spent(9.5)
    admission = Admission(link, LocalBuckets(), spent)
    await link.start()
    mine = plan(budget=10.0)
    assert (await admission.admit(mine, 0, 400_000))[0].scope == ""
    assert (await admission.admit(mine, 0, 400_000))[0].scope == "budget"
    assert spent.asked == 1


async def test_concurrent_calls_cannot_overdraw_a_budget(link: RedisLink) -> None:
    admission = Admission(link, LocalBuckets(), Spent(0.0))
    await link.start()
    mine = plan(budget=1.0)
    decisions = await asyncio.gather(*[admission.admit(mine, 0, 100_000) for _ in range(50)])
    assert [decision.scope for decision, _ in decisions].count("") == 10


async def test_what_was_reserved_and_not_used_comes_back(link: RedisLink) -> None:
    admission = Admission(link, LocalBuckets(), Spent(0.0))
    await link.start()
    mine = plan(budget=1.0, limits=Limits(tokens_per_minute=1000))
    assert (await admission.admit(mine, 900, 900_000))[0].scope == ""
    assert (await admission.admit(mine, 900, 0))[0].scope == "tokens"
    admission.settle(mine, 900, 10, 900_000, 0.01)
    assert (await admission.admit(mine, 900, 900_000))[0].scope == ""


async def test_more_used_than_reserved_is_charged_afterwards(link: RedisLink) -> None:
    admission = Admission(link, LocalBuckets(), Spent(0.0))
    await link.start()
    mine = plan(limits=Limits(tokens_per_minute=1000))
    await admission.admit(mine, 10, 0)
    admission.settle(mine, 10, 1000, 0, 0)
    assert (await admission.admit(mine, 10, 0))[0].scope == "tokens"


async def test_a_request_larger_than_the_limit_waits_for_a_full_bucket_but_not_for_ever(
    link: RedisLink,
) -> None:
    admission = Admission(link, LocalBuckets(), Spent(0.0))
    await link.start()
    mine = plan(limits=Limits(tokens_per_minute=1000))
    assert (await admission.admit(mine, 5000, 0))[0].scope == ""
    assert (await admission.admit(mine, 1, 0))[0].scope == "tokens"


async def test_no_more_comes_back_than_was_charged(link: RedisLink) -> None:
    """Who asks for room for an endless answer is charged a full bucket, and what it used stays used."""
    admission = Admission(link, LocalBuckets(), Spent(0.0))
    await link.start()
    mine = plan(limits=Limits(tokens_per_minute=1000))
    assert (await admission.admit(mine, 5000, 0))[0].scope == ""
    admission.settle(mine, 5000, 900, 0, 0)
    assert (await admission.admit(mine, 200, 0))[0].scope == "tokens"
    assert (await admission.admit(mine, 100, 0))[0].scope == ""


async def test_an_answer_that_took_longer_than_its_reservation_lasts_is_charged(link: RedisLink) -> None:
    admission = Admission(link, LocalBuckets(), Spent(0.0))
    await link.start()
    mine = plan(limits=Limits(tokens_per_minute=600))
    assert mine.tokens is not None
    await admission.admit(mine, 1, 0)
    async with asyncio.timeout(20):
        while await link.call("EXISTS", mine.tokens.key):
            await asyncio.sleep(0.005)
    admission.settle(mine, 1, 6_000, 0, 0)
    assert (await admission.admit(mine, 100, 0))[0].scope == "tokens"
    assert 0 < await link.call("PTTL", mine.tokens.key) <= 600_000


async def test_a_flushed_script_is_loaded_again(link: RedisLink) -> None:
    admission = Admission(link, LocalBuckets(), Spent(0.0))
    await link.start()
    mine = plan(rates=Rates(client_requests=5))
    await link.call("SCRIPT", "FLUSH")
    assert (await admission.admit(mine, 0, 0))[0].remaining == 4
    # Another process sees it: it was counted in Redis, and not here for want of a script.
    assert (await Admission(link, LocalBuckets(), Spent(0.0)).admit(mine, 0, 0))[0].remaining == 3


async def test_without_redis_limits_and_budgets_hold_in_this_process() -> None:
    lost = RedisLink(Address("redis://127.0.0.1:1"), 0.1)
    spent = Spent(0.75)
    admission = Admission(lost, LocalBuckets(), spent)
    mine = plan(budget=1.0, rates=Rates(client_requests=3))
    scopes = [(await admission.admit(mine, 0, 100_000))[0].scope for _ in range(3)]
    assert scopes == ["", "", "budget"]
    other = plan(rates=Rates(client_requests=3))
    scopes = [(await admission.admit(other, 0, 0))[0].scope for _ in range(4)]
    assert scopes == ["", "", "", "client"]


async def test_without_both_stores_a_budget_is_counted_from_here_on() -> None:
    lost = RedisLink(Address("redis://127.0.0.1:1"), 0.1)
    spent = Spent(0.0)
    spent.away = True
    admission = Admission(lost, LocalBuckets(), spent)
    mine = plan(budget=0.25)
    scopes = [(await admission.admit(mine, 0, 100_000))[0].scope for _ in range(3)]
    assert scopes == ["", "", "budget"]


async def test_a_redis_that_is_lost_in_the_middle_leaves_local_limits(link: RedisLink) -> None:
    admission = Admission(link, LocalBuckets(), Spent(0.0))
    await link.start()
    mine = plan(rates=Rates(client_requests=2))
    asked = [asyncio.ensure_future(admission.admit(mine, 0, 0)) for _ in range(4)]
    await asyncio.sleep(0)
    assert link._connection is not None
    link._connection.drop()  # their commands are on the way
    assert [(await one)[0].scope for one in asked] == ["", "", "client", "client"]


async def test_redis_gives_back_only_what_it_had_charged(link: RedisLink) -> None:
    """A call that was admitted while Redis was away is settled after it came back, with what it used."""
    admission = Admission(link, LocalBuckets(), Spent(0.0))
    await link.start()
    mine = plan(budget=1.0, limits=Limits(tokens_per_minute=1000))
    await admission.admit(mine, 300, 300_000)
    link.available = False
    there = await admission.admit(mine, 500, 500_000)
    assert there[0].local
    link.available = True
    admission.redis_is_back(True)
    admission.settle(mine, 500, 100, 500_000, 0.05, local=True)
    assert await link.call("GET", mine.budget_key) == b"350000"
    assert (await admission.admit(mine, 700, 0))[0].scope == "tokens"
    assert (await admission.admit(mine, 600, 0))[0].scope == ""


async def test_what_was_reserved_in_redis_is_not_given_back_here(link: RedisLink) -> None:
    admission = Admission(link, LocalBuckets(), Spent(0.5))
    await link.start()
    mine = plan(budget=1.0)
    await admission.admit(mine, 0, 400_000)
    link.available = False
    assert (await admission.admit(mine, 0, 400_000))[0].scope == ""
    admission.settle(mine, 0, 0, 400_000, 0.05)  # the ledger did not have it when it was asked
    assert (await admission.admit(mine, 0, 60_000))[0].scope == "budget"
    assert (await admission.admit(mine, 0, 50_000))[0].scope == ""


async def test_a_ledger_that_hangs_holds_no_budget_up(link: RedisLink) -> None:
    async def hangs(counter: str) -> float:
        await asyncio.Event().wait()
        return 0.0

    admission = Admission(link, LocalBuckets(), hangs)
    await link.start()
    async with asyncio.timeout(10):
        decision, _ = await admission.admit(plan(budget=1.0), 0, 100_000)
    assert decision.scope == ""
