"""Stores that go away under load: nobody is refused for it, nothing hangs, nothing is lost, all comes back.

Real processes: Valkey and Postgres are killed, frozen and started again while requests flow.
"""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.storage.migrate import migrate
from tests.parts import wait_until
from tests.service.running import Process, create_key, process
from tests.service.stores import Postgres, Valkey, postgres, valkey
from tests.service.traffic import Traffic, ask

pytestmark = pytest.mark.component


class World:
    """One service process with stores of its own."""

    def __init__(self, store: Postgres, redis: Valkey, service: Process, key: str) -> None:
        self.store, self.redis, self.service, self.key = store, redis, service, key

    def dependency(self, name: str) -> bool:
        with urllib.request.urlopen(self.service.url + "/health", timeout=5) as response:
            return bool(json.load(response)["dependencies"][name]["up"])

    def metric(self, name: str) -> float:
        url = f"http://127.0.0.1:{self.service.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=5) as response:
            for line in response.read().decode().splitlines():
                if line.startswith(name + " "):
                    return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no metric {name}")

    def every_answer_is_booked_once(self, traffic: Traffic) -> None:
        answered = {one.request_id for one in traffic.answers if one.status == 200}
        wait_until(lambda: self.metric("superagent_usage_journal_pending") == 0, "the journal is shipped", 30)
        booked = self.store.query("select request_id from usage")
        assert len(booked) == len(set(booked))
        assert answered <= set(booked)


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    settings = getattr(request, "param", {})
    with postgres() as store, valkey() as redis:
        migrate(store.url)
        key = create_key(store.url, "chat")
        with process(store.url, tmp_path, REDIS_URL=redis.url, **settings) as service:
            yield World(store, redis, service, key)


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
    assert ask(world.service.port, "sk-" + "y" * 43).status == 401


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
