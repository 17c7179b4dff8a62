"""The rate limit itself: the arithmetic, the script against it, and several processes at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.auth.permissions import Limits, Principal
from service.limits.gcra import Bucket, judge, remaining
from service.limits.limiter import Plans, Rates, admit_command, read
from service.limits.local import LocalBuckets
from service.limits.script import ADMIT
from service.storage.redis_link import Address, RedisLink, pack

ROOT = Path(__file__).parents[3]


def principal(**fields: object) -> Principal:
    name = f"key_{uuid.uuid4().hex}"
    return Principal(name, name, "x", "key", frozenset({"chat"}), **fields)  # type: ignore[arg-type]


@given(
    per_minute=st.integers(1, 10_000_000),
    burst=st.integers(1, 1000),
    gaps=st.lists(st.integers(0, 120_000_000), max_size=60),
)
def test_never_more_than_the_burst_and_what_came_back(per_minute: int, burst: int, gaps: list[int]) -> None:
    bucket = Bucket("k", "client", per_minute, burst)
    now, tat, admitted = 0.0, 0.0, 0
    for gap in [0] * burst + gaps:
        now += gap
        verdict = judge(bucket, tat, now, 1)
        if verdict.allowed:
            admitted += 1
            tat = now + verdict.ahead
    assert admitted <= burst + now / bucket.emission + 1e-3
    assert admitted >= burst


@given(per_minute=st.integers(1, 1_000_000), burst=st.integers(1, 500))
def test_waiting_as_long_as_told_is_enough(per_minute: int, burst: int) -> None:
    bucket = Bucket("k", "client", per_minute, burst)
    tat = now = 1e15
    for _ in range(burst):
        tat = now + judge(bucket, tat, now, 1).ahead
    refused = judge(bucket, tat, now, 1)
    assert not refused.allowed
    assert remaining(bucket, refused.ahead) == 0
    assert judge(bucket, tat, now + refused.retry_us, 1).allowed


@pytest.mark.component
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(costs=st.lists(st.integers(1, 40), min_size=1, max_size=30), burst=st.integers(1, 200))
def test_the_script_decides_as_the_arithmetic_does(valkey_server: str, costs: list[int], burst: int) -> None:
    # One unit a minute: nothing comes back while the example runs, so the model needs no clock.
    who = principal(limits=Limits(requests_per_minute=0, tokens_per_minute=1))
    plan = Plans(Rates()).plan(who, "/x")
    bucket = Bucket(plan.buckets[0].key, "tokens", 1, burst)
    plan.buckets, plan.tokens = (bucket,), bucket
    plan.costs = (1, bucket.emission, bucket.tolerance)

    async def decide() -> list[bool]:
        link = RedisLink(Address(valkey_server), 2.0)
        await link.start()
        await link.call("SCRIPT", "LOAD", ADMIT)
        try:
            answers = [(await link.send(admit_command(plan, min(cost, burst), 0)))[0] for cost in costs]
            return [not read(plan, answer).scope for answer in answers]
        finally:
            await link.close()

    tat, expected = 0.0, []
    for cost in costs:
        verdict = judge(bucket, tat, 0.0, min(cost, burst))
        expected.append(verdict.allowed)
        tat = verdict.ahead
    assert asyncio.run(decide()) == expected


HAMMER = """
import asyncio, sys
from service.limits.limiter import Plans, Rates, admit_command
from service.limits.script import ADMIT
from service.auth.permissions import Principal
from service.storage.redis_link import Address, RedisLink

async def main(url, who):
    plan = Plans(Rates(client_requests=600, burst=50)).plan(Principal(who, who, "", "key", frozenset()), "/x")
    link = RedisLink(Address(url), 5.0)
    await link.start()
    await link.call("SCRIPT", "LOAD", ADMIT)
    admitted = 0
    for _ in range(40):
        replies = await asyncio.gather(*[link.send(admit_command(plan, 0, 0)) for _ in range(25)])
        admitted += sum(1 for reply in replies if reply[0][0] == 0)
    await link.close()
    print(admitted)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.component
def test_several_processes_share_one_limit_exactly(valkey_server: str) -> None:
    who = f"key_{uuid.uuid4().hex}"
    began = time.monotonic()
    processes = [
        subprocess.Popen([sys.executable, "-c", HAMMER, valkey_server, who], stdout=subprocess.PIPE, cwd=ROOT)
        for _ in range(3)
    ]
    admitted = sum(int(process.communicate(timeout=60)[0]) for process in processes)
    seconds = time.monotonic() - began
    assert 50 <= admitted <= 50 + 10 * seconds + 1


def test_without_redis_a_process_enforces_its_share() -> None:
    plan = Plans(Rates(client_requests=60, burst=40)).plan(principal(), "/x")
    local = LocalBuckets(share=1 / 4)
    verdicts = [local.admit(plan.buckets, (1.0,))[0] for _ in range(40)]
    assert verdicts.count(0) == 10


@pytest.mark.component
async def test_a_refused_request_charges_no_bucket(valkey_server: str) -> None:
    rates = Rates(global_requests=1000, client_requests=1000, endpoints=(("/x", 2),))
    plan = Plans(rates).plan(principal(), "/x")
    link = RedisLink(Address(valkey_server), 2.0)
    await link.start()
    await link.call("SCRIPT", "LOAD", ADMIT)
    decisions = [read(plan, (await link.send(admit_command(plan, 0, 0)))[0]) for _ in range(5)]
    assert [decision.scope for decision in decisions] == ["", "", "endpoint", "endpoint", "endpoint"]
    assert decisions[-1].remaining == 998
    assert decisions[-1].retry_seconds is not None and 20 < decisions[-1].retry_seconds <= 30
    await link.close()


@pytest.mark.component
async def test_buckets_expire_when_they_are_full_again(valkey_server: str) -> None:
    plan = Plans(Rates(client_requests=60)).plan(principal(), "/x")
    link = RedisLink(Address(valkey_server), 2.0)
    await link.start()
    await link.call("SCRIPT", "LOAD", ADMIT)
    await link.send(admit_command(plan, 0, 0))
    left = (await link.send(pack(("PTTL", plan.buckets[0].key))))[0]
    assert 0 < left <= 1001
    await link.close()
