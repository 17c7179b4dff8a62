"""Nodes that die, leave or lose their store in the middle of a debate: it ends, and no turn is paid twice."""

from __future__ import annotations

import contextlib
import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parts import wait_until
from tests.service.fakes.openai_api import KEY, FakeOpenAI
from tests.service.fakes.serving import Send, serve
from tests.service.running import Process, create_key, process, ready
from tests.service.stores import Postgres, postgres

pytestmark = [pytest.mark.component, pytest.mark.timeout(400)]

# Round 2 has turns that are done and turns that are not when the node goes: p4 answers at once, p1 after 2 s.
PARTICIPANTS = [
    {"model": "lorem;latency=2", "provider": "simulator"},
    {"model": "lorem;latency=0.1", "provider": "simulator"},
    {"model": "lorem", "provider": "simulator"},
    {"model": "gpt-fake", "provider": "oa"},
]
ASKED = {"topic": "Is water wet?", "participants": PARTICIPANTS, "rounds": 3, "consensus_threshold": 1}


class Counting(FakeOpenAI):
    """Notes the round of every turn it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def answer(self, method: str, path: str, headers: dict[str, str], body: bytes, send: Send) -> None:
        if path.endswith("/chat/completions"):
            text = body.decode().rpartition("This is round ")
            self.asked.append(text[2][0] if text[1] else "1")  # it repeats what it was told before
        await super().answer(method, path, headers, body, send)


class World:
    def __init__(self, store: Postgres, fake: Counting, url: str, folder: Path) -> None:
        self.store, self.fake, self.folder = store, fake, folder
        self.key = create_key(store.url, "debate")
        providers = {
            "providers": [
                {"name": "simulator", "kind": "simulator", "models": ["echo", "lorem"]},
                {
                    "name": "oa", "kind": "openai", "flavour": "openai", "base_url": url + "/v1",
                    "key_file": str(folder / "key"), "models": ["gpt-fake"], "allow_private": True,
                    "prices": {"gpt-fake": {"input": 1.0, "output": 2.0}},
                },
            ]
        }  # fmt: skip
        (folder / "key").write_text(KEY)
        (folder / "providers.json").write_text(json.dumps(providers))

    def node(self, name: str, **environ: str) -> contextlib.AbstractContextManager[Process]:
        file = str(self.folder / "providers.json")
        given = {
            "PROVIDERS_FILE": file,
            "DEBATE_LEASE_SECONDS": "2",
            **environ,
        }
        return process(self.store.url, self.folder / name, **given)

    def call(self, node: Process, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(node.url + path, data, method=method)
        request.add_header("authorization", f"Bearer {self.key}")
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error) | {"retry_after": error.headers["retry-after"]}

    def steps(self, identity: str) -> set[str]:
        return set(self.store.query(f"select id from debate_steps where debate_id = '{identity}'"))

    def ended(self, node: Process, identity: str) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def over() -> bool:
            found.update(self.call(node, "GET", f"/v1/debates/{identity}")[1])
            return bool(found.get("status", "running") != "running")

        wait_until(over, "the debate is over", 60)
        return found

    def every_turn_is_booked_once(self, told: dict[str, Any]) -> None:
        calls = [*told["turns"], *told["other_calls"]]
        paid = {f"{told['id']}.{one['id']}" for one in calls if one["attempts"]}

        def booked() -> list[str]:
            return self.store.query("select request_id from usage where request_id not like '%~%'")

        assert sorted(booked()) == sorted(paid)
        cost = float(self.store.query("select sum(cost_usd) from usage")[0])
        assert cost == pytest.approx(told["usage"]["cost_usd"])
        assert int(self.store.query("select sum(requests) from key_usage")[0]) == int(
            self.store.query("select count(*) from usage")[0]
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    fake = Counting()
    with postgres() as store, serve(fake) as url:
        ready(store.url)
        yield World(store, fake, url, tmp_path)


def test_kill_9_in_round_2_and_another_node_finishes_without_paying_twice(world: World) -> None:
    with world.node("one") as one, world.node("two", DEBATES_PER_PROCESS="5") as two:
        status, begun = world.call(one, "POST", "/v1/debates", {**ASKED, "mode": "async"})
        assert status == 202
        identity = begun["id"]
        wait_until(lambda: {"r2.p3", "r2.p4"} <= world.steps(identity), "half of round 2 is stored", 30)
        before = world.steps(identity)
        assert "r2.p1" not in before
        one.signal(signal.SIGKILL)
        one.process.wait(10)
        told = world.ended(two, identity)
        assert (told["status"], told["stopped"], told["resumed"]) == ("completed", "rounds", 1)
        assert len(told["turns"]) == 12
        assert all(turn["status"] == "ok" for turn in told["turns"])
        assert 0 < told["consensus"]["level"] < 1
        assert 0 < told["quality"]["score"] < 1
        assert world.fake.asked == ["1", "2", "3"]
        world.every_turn_is_booked_once(told)
        one.start()  # its journal is shipped now: nothing comes twice
        world.every_turn_is_booked_once(told)
        assert one.stop() == 0


def test_a_node_that_was_only_asleep_cannot_write_into_what_another_has_taken_over(world: World) -> None:
    with world.node("one") as one, world.node("two") as two:
        identity = world.call(one, "POST", "/v1/debates", {**ASKED, "mode": "async"})[1]["id"]
        wait_until(lambda: "r2.p4" in world.steps(identity), "round 2 has begun", 30)
        one.signal(signal.SIGSTOP)
        told = world.ended(two, identity)
        one.signal(signal.SIGCONT)
        assert (told["status"], told["resumed"], len(told["turns"])) == ("completed", 1, 12)
        late = "select request_id from usage where request_id like '%~1'"
        wait_until(lambda: bool(world.store.query(late)), "the call it had made is booked beside the turn's")
        assert world.call(two, "GET", f"/v1/debates/{identity}")[1]["turns"] == told["turns"]
        assert world.fake.asked == ["1", "2", "3"]
        world.every_turn_is_booked_once(told)


def test_a_node_that_leaves_hands_its_debate_over(world: World) -> None:
    with world.node("one", DRAIN_NOTICE_SECONDS="0") as one, world.node("two") as two:
        identity = world.call(one, "POST", "/v1/debates", {**ASKED, "mode": "async"})[1]["id"]
        wait_until(lambda: "r2.p4" in world.steps(identity), "round 2 has begun", 30)
        assert one.stop() == 0
        stored = world.steps(identity)
        assert {"r2.p1", "r2.p2", "r2.p3", "r2.p4", "r2.agreement"} <= stored  # nothing paid for is lost
        told = world.ended(two, identity)
        assert (told["status"], told["resumed"]) == ("completed", 1)
        assert world.fake.asked == ["1", "2", "3"]
        world.every_turn_is_booked_once(told)


def test_postgres_gone_in_the_middle_loses_no_turn(world: World) -> None:
    with world.node("one") as one:
        identity = world.call(one, "POST", "/v1/debates", {**ASKED, "mode": "async"})[1]["id"]
        wait_until(lambda: "r2.p4" in world.steps(identity), "round 2 has begun", 30)
        world.store.kill()
        refused, error = world.call(one, "POST", "/v1/debates", {**ASKED, "mode": "async"})
        assert refused == 503
        assert error["retry_after"]
        world.store.start()
        told = world.ended(one, identity)
        assert told["status"] == "completed"
        assert len(told["turns"]) == 12
        assert world.fake.asked == ["1", "2", "3"]
        world.every_turn_is_booked_once(told)


def test_what_one_node_has_no_room_for_is_run_by_another(world: World) -> None:
    slow = {**ASKED, "participants": [{"model": "lorem;latency=60"}, {"model": "lorem;latency=61"}]}
    with world.node("one", DEBATES_PER_PROCESS="1") as one, world.node("two") as two:
        assert world.call(one, "POST", "/v1/debates", {**slow, "mode": "async"})[0] == 202
        refused, error = world.call(one, "POST", "/v1/debates", ASKED)
        assert (refused, bool(error["retry_after"])) == (429, True)
        identity = world.call(one, "POST", "/v1/debates", {**ASKED, "mode": "async"})[1]["id"]
        assert world.ended(two, identity)["status"] == "completed"


def test_a_cancel_at_another_node_ends_the_calls_of_the_first(world: World) -> None:
    slow = {**ASKED, "participants": [{"model": "lorem;latency=60"}, {"model": "lorem;latency=61"}]}
    with world.node("one") as one, world.node("two") as two:
        identity = world.call(one, "POST", "/v1/debates", {**slow, "mode": "async"})[1]["id"]
        assert _active(one) == 1
        assert world.call(two, "DELETE", f"/v1/debates/{identity}")[1]["status"] == "cancelled"
        wait_until(lambda: _active(one) == 0, "the first node has let go")


def _active(node: Process) -> float:
    url = f"http://127.0.0.1:{node.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as response:
        for line in response.read().decode().splitlines():
            if line.startswith("superagent_debates_active "):
                return float(line.split()[1])
    raise AssertionError("no such metric")
