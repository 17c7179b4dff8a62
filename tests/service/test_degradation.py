"""Stores that go away under load: nobody is refused for it, nothing hangs, nothing is lost, all comes back.

Real processes: Valkey and Postgres are killed, frozen and started again while requests flow.
"""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parts import wait_until
from tests.service.traffic import Traffic, ask
from tests.service.world import Stores, World, both
from tests.service.world import world as started

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def stores() -> Iterator[Stores]:
    with both() as made:
        yield made


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest, stores: Stores) -> Iterator[World]:
    with started(stores, tmp_path, **getattr(request, "param", {})) as made:
        yield made


def test_redis_killed_and_back_under_load(world: World) -> None:
    with Traffic(world.service.port, world.key) as traffic:
        traffic.more(50)
        world.redis.kill()
        wait_until(lambda: not world.dependency("redis"), "the loss is seen")
        assert world.metric('superagent_dependency_up{dependency="redis"}') == 0
        traffic.more(50)
        world.redis.start()
        wait_until(lambda: world.dependency("redis"), "it is back")
        traffic.more(50)
    assert traffic.statuses() == {200}
    world.every_answer_is_booked_once(traffic)


def test_redis_frozen_hangs_nobody(world: World) -> None:
    with Traffic(world.service.port, world.key) as traffic:
        traffic.more(50)
        world.redis.freeze()
        wait_until(lambda: not world.dependency("redis"), "the silence is noticed")
        traffic.more(50)
        assert world.service.status("/health/ready") == 200
        world.redis.thaw()
        wait_until(lambda: world.dependency("redis"), "it is back")
        traffic.more(50)
    assert traffic.statuses() == {200}


@pytest.mark.parametrize("world", [{"LIMIT_CLIENT_PER_MINUTE": "400"}], indirect=True)
def test_redis_half_a_second_slow_counts_as_gone_and_limits_still_hold(world: World) -> None:
    with Traffic(world.service.port, world.key) as traffic:
        traffic.more(20)
        world.line.delay = 0.5
        wait_until(lambda: not world.dependency("redis"), "the slowness is noticed", 60)
        traffic.more(1, status=429)
        refused = traffic.count(429)
        traffic.more(20, status=429)
        world.line.delay = 0.0
        wait_until(lambda: world.dependency("redis"), "it is back", 60)
        traffic.more(20, status=429)
    assert traffic.statuses() == {200, 429}
    assert refused
    assert traffic.count(200) <= 3 * 400  # what Redis allowed, what this process did, and Redis again


@pytest.mark.parametrize("world", [{"LIMIT_CLIENT_PER_MINUTE": "30"}], indirect=True)
def test_limits_and_auth_hold_without_redis(world: World) -> None:
    world.redis.kill()
    wait_until(lambda: not world.dependency("redis"), "the loss is seen")
    statuses = [ask(world.service.port, world.key, str(number)).status for number in range(40)]
    assert set(statuses[:25]) == {200}
    assert statuses[-1] == 429
    assert ask(world.service.port, "sk-" + "x" * 43).status == 401


@pytest.mark.timeout(400)
def test_postgres_killed_and_back_under_load(world: World) -> None:
    with Traffic(world.service.port, world.key) as traffic:
        traffic.more(50)
        world.store.kill()
        wait_until(lambda: not world.dependency("postgres"), "the loss is seen")
        before = traffic.count(200)
        traffic.more(100)
        owed = traffic.count(200) - before - 10
        wait_until(lambda: world.metric("superagent_usage_journal_pending") >= owed, "rows wait")
        stranger = ask(world.service.port, "sk-" + "x" * 43)
        assert (stranger.status, stranger.error) == (503, "unavailable_error")
        admin = _post(world, "/admin/api-keys", {"name": "x", "permissions": ["chat"]})
        assert admin in (403, 503)
        world.store.start()
        wait_until(lambda: world.dependency("postgres"), "it is back", 30)
        traffic.more(50)
    assert traffic.statuses() == {200}
    world.every_answer_is_booked_once(traffic)
    # A look-up may meet a connection of before, and is asked to come again: never is anybody let in.
    statuses: list[int] = []

    def refused() -> bool:
        statuses.append(ask(world.service.port, "sk-" + "y" * 43).status)
        return statuses[-1] == 401

    wait_until(refused, "a stranger is told so again")
    assert set(statuses) <= {401, 503}


def _post(world: World, path: str, body: dict[str, Any]) -> int:
    request = urllib.request.Request(world.service.url + path, json.dumps(body).encode(), method="POST")
    request.add_header("authorization", f"Bearer {world.key}")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.timeout(400)
def test_killed_without_postgres_the_journal_is_shipped_by_the_next_start(world: World) -> None:
    with Traffic(world.service.port, world.key) as traffic:
        traffic.more(30)
        world.store.kill()
        traffic.more(50)
        world.service.signal(signal.SIGKILL)
        world.service.process.wait(10)
    world.store.start()
    world.service.start()
    world.every_answer_is_booked_once(traffic)


def test_both_stores_gone_still_answers_who_is_known(world: World) -> None:
    assert ask(world.service.port, world.key).status == 200
    world.redis.kill()
    world.store.kill()
    wait_until(lambda: not world.dependency("redis") and not world.dependency("postgres"), "both are gone")
    with Traffic(world.service.port, world.key) as traffic:
        traffic.more(50)
    assert traffic.statuses() == {200}


@pytest.mark.timeout(180)
def test_a_database_that_hangs_holds_no_budget_up(world: World) -> None:
    """The counters of budgets are gone with Redis' memory, and the ledger that knows them does not answer."""
    key = world.key_with_budget(1000.0)
    with Traffic(world.service.port, key) as paying, Traffic(world.service.port, world.key) as traffic:
        paying.more(20)
        world.store.freeze()
        world.redis.kill()
        world.redis.start()
        wait_until(lambda: not world.dependency("postgres"), "the silence is noticed", 60)
        paying.more(100)
        traffic.more(50)
        world.store.thaw()
        wait_until(lambda: world.dependency("postgres"), "it is back", 60)
        paying.more(20)
    assert paying.statuses() == traffic.statuses() == {200}
    world.every_answer_is_booked_once(paying, traffic)


@pytest.mark.timeout(180)
def test_a_node_killed_in_the_middle_of_streams_owes_no_row_and_books_none_twice(world: World) -> None:
    whole = Traffic(world.service.port, world.key)
    streams = Traffic(world.service.port, world.key, body={"stream": True})
    long = Traffic(
        world.service.port, world.key, 2, body={"stream": True, "model": "lorem;rate=20;tokens=400"}
    )
    with whole, streams, long:
        whole.more(30)
        streams.more(30)
        world.service.signal(signal.SIGKILL)
        world.service.process.wait(10)
        world.service.start()
        whole.more(30)
        streams.more(30)
        world.service.signal(signal.SIGKILL)
        world.service.process.wait(10)
    world.service.start()
    world.every_answer_is_booked_once(whole, streams)
    outcomes = world.store.query("select distinct outcome from usage")
    assert "crashed" in outcomes  # the long streams that the kills cut


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("world", [{"AUTH_FRESH_SECONDS": "10"}], indirect=True)
@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_both_stores_gone_for_two_minutes_cost_no_known_key_an_answer(world: World, how: str) -> None:
    _outage(world, how, 120, redis_too=True)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("world", [{"AUTH_FRESH_SECONDS": "10"}], indirect=True)
@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_a_minute_without_postgres_costs_no_known_key_an_answer(world: World, how: str) -> None:
    _outage(world, how, 60, redis_too=False)


def _outage(world: World, how: str, seconds: float, *, redis_too: bool) -> None:
    paying = world.key_with_budget(1000.0)
    port, key = world.service.port, world.key
    kinds = [
        Traffic(port, key, 2, pause=0.02),
        Traffic(port, key, 1, {"stream": True}, pause=0.02),
        Traffic(port, key, 1, {"temperature": 0}, pause=0.02),
        Traffic(port, paying, 2, pause=0.02),
    ]
    stores = [world.store, world.redis] if redis_too else [world.store]
    with kinds[0], kinds[1], kinds[2], kinds[3]:
        for one in kinds:
            one.more(20)
        for store in stores:
            store.kill() if how == "killed" else store.freeze()
        wait_until(lambda: not world.dependency("postgres"), "the loss is seen", 60)
        time.sleep(seconds)  # the outage itself
        for one in kinds:
            one.more(20)
        for store in stores:
            store.start() if how == "killed" else store.thaw()
        wait_until(lambda: world.dependency("postgres") and world.dependency("redis"), "both are back", 60)
        for one in kinds:
            one.more(20)
    assert [one.statuses() for one in kinds] == [{200}] * 4
    world.every_answer_is_booked_once(*kinds)
