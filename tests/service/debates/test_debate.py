"""Debates end to end over real sockets: three simulated participants and one behind a fake OpenAI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from service.providers.config import ProviderConfig, ProvidersConfig
from service.routing.router import Router
from tests.service.fakes.openai_api import KEY, FakeOpenAI
from tests.service.fakes.serving import Refused, serve
from tests.service.running import Running, create_key, prepare, running

pytestmark = pytest.mark.component

SIMULATED: list[dict[str, Any]] = [
    {"model": "lorem", "provider": "simulator", "name": "Ada"},
    {"model": "lorem", "provider": "simulator", "name": "Bob", "role": "a sceptic"},
    {"model": "lorem", "provider": "simulator", "name": "Cyd"},
]
FAKE: dict[str, Any] = {"model": "gpt-fake", "provider": "oa", "name": "Dan"}


@pytest.fixture
def upstream() -> Iterator[tuple[FakeOpenAI, str]]:
    fake = FakeOpenAI()
    with serve(fake) as url:
        yield fake, url


def providers(url: str, key_file: Path) -> ProvidersConfig:
    key_file.write_text(KEY)
    return ProvidersConfig(
        providers=(
            ProviderConfig(name="simulator", kind="simulator", models=("echo", "lorem", "tools")),
            ProviderConfig(
                name="oa",
                kind="openai",
                base_url=url + "/v1",
                flavour="openai",
                key_file=str(key_file),
                models=("gpt-fake",),
                allow_private=True,
                prices={"gpt-fake": {"input": 1.0, "output": 2.0}},
            ),
        )
    )


class World:
    def __init__(self, service: Running, client: httpx.AsyncClient, fake: FakeOpenAI) -> None:
        self.service, self.client, self.fake = service, client, fake

    async def debate(self, key: str = "", **body: Any) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        response = await self.client.post("/v1/debates", json=body, headers=headers)
        assert response.status_code in (200, 202), response.text
        told: dict[str, Any] = response.json()
        return told

    async def rows(self) -> list[dict[str, Any]]:
        found = await self.service.service.database.fetch("select * from usage order by request_id")
        return [dict(row) for row in found]


@pytest_asyncio.fixture
async def world(
    database_url: str, upstream: tuple[FakeOpenAI, str], tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[World]:
    key = prepare(database_url, "debate")
    router = Router(providers(upstream[1], tmp_path / "key"))
    environ = getattr(request, "param", {})
    async with (
        running(database_url, router, **environ) as one,
        httpx.AsyncClient(base_url=one.url, headers={"authorization": f"Bearer {key}"}, timeout=60) as client,
    ):
        yield World(one, client, upstream[0])


async def test_four_participants_one_dying_in_the_middle_end_with_a_result_and_a_true_ledger(
    world: World,
) -> None:
    answered = world.fake.answer

    async def answer(method: str, path: str, headers: Any, body: bytes, send: Any) -> None:
        if b"This is round" in body:
            raise Refused(503, {"error": {"message": "gone", "type": "server_error"}})
        await answered(method, path, headers, body, send)

    world.fake.answer = answer  # type: ignore[method-assign]
    told = await world.debate(
        topic="Is water wet?", participants=[*SIMULATED, FAKE], rounds=3, consensus_threshold=1
    )
    assert told["status"] == "completed"
    assert told["stopped"] == "rounds"
    assert 0 < told["consensus"]["level"] < 1
    assert told["consensus"]["method"] == "lexical"
    assert 0 < told["quality"]["score"] < 1
    assert [part["name"] for part in told["quality"]["components"]][:3] == [
        "consensus", "support", "participation",
    ]  # fmt: skip
    turns = {one["id"]: one for one in told["turns"]}
    assert turns["r1.p4"]["status"] == "ok"
    assert (turns["r2.p4"]["status"], turns["r3.p4"]["status"]) == ("absent", "absent")
    assert [one["state"] for one in told["participants"]] == ["present", "present", "present", "absent"]
    assert told["answer"]["citations"][0]["turn"].startswith("r3.")
    assert len(told["minority_report"]) == 2
    assert told["usage"]["cost_usd"] > 0

    rows = await world.rows()
    paid = {one["id"]: one for one in told["turns"] if one["attempts"]}
    assert [row["request_id"] for row in rows] == sorted(f"{told['id']}.{name}" for name in paid)
    assert float(sum(row["cost_usd"] for row in rows)) == pytest.approx(told["usage"]["cost_usd"])
    for row in rows:
        turn = paid[row["request_id"].partition(".")[2]]
        assert (row["input_tokens"], row["output_tokens"]) == (turn["input_tokens"], turn["output_tokens"])
        assert (row["outcome"] == "ok") == (turn["status"] == "ok")
        assert row["endpoint"] == "/v1/debates"
    sums = await world.service.service.database.fetchrow("select requests, cost_usd from key_usage")
    assert sums is not None
    assert sums["requests"] == len(rows)
    assert float(sums["cost_usd"]) == pytest.approx(told["usage"]["cost_usd"])


async def test_equal_answers_end_it_after_the_first_round(world: World) -> None:
    same = [{"model": "echo"}, {"model": "echo"}]
    told = await world.debate(topic="Is water wet?", participants=same, rounds=5)
    assert told["stopped"] == "consensus"
    assert told["consensus"] == {
        "level": 1.0, "threshold": 0.8, "reached": True, "method": "lexical", "round": 1,
    }  # fmt: skip
    assert told["minority_report"] == []
    assert told["answer"]["text"] == "Is water wet?"
    assert [one["turn"] for one in told["answer"]["citations"]] == ["r1.p1", "r1.p2"]
    metrics = world.service.service.metrics
    assert metrics.debates.labels("completed").value == 1
    assert metrics.debates_active.labels().read() == 0


async def test_each_sees_the_last_turns_of_the_others(world: World) -> None:
    told = await world.debate(
        topic="Is water wet?", participants=[SIMULATED[0], FAKE], rounds=2, consensus_threshold=1
    )
    first = next(one for one in told["turns"] if one["id"] == "r1.p1")
    second = json.dumps(world.fake.requests[-1])
    assert json.dumps(first["text"])[1:-1] in second.replace("\\\\", "\\")
    assert "Ada" in second


async def test_a_fallback_speaks_for_a_model_that_fails(world: World) -> None:
    spare = {"model": "gpt-fake", "provider": "oa"}
    broken = {"model": "lorem;fail=auth", "provider": "simulator", "fallback": [spare]}
    told = await world.debate(topic="x?", participants=[SIMULATED[0], broken], rounds=1)
    turn = next(one for one in told["turns"] if one["participant"] == "p2")
    assert (turn["status"], turn["provider"], turn["attempts"]) == ("ok", "oa", 2)
    rows = await world.rows()
    assert len(rows) == 2


async def test_a_judge_counts_claims_and_writes_the_answer(world: World) -> None:
    told = await world.debate(
        topic="Is water wet?", participants=SIMULATED, judge={"model": "echo", "provider": "simulator"}
    )
    assert told["consensus"]["method"] == "judge"
    assert told["agreement"][0]["claims"][0]["stances"] == {"p1": "agree", "p2": "agree", "p3": "agree"}
    assert told["answer"]["method"] == "synthesis"
    assert {one["turn"] for one in told["answer"]["citations"]} <= {one["id"] for one in told["turns"]}
    assert {row["request_id"].partition(".")[2] for row in await world.rows()} == {
        "r1.p1", "r1.p2", "r1.p3", "r1.judge", "final",
    }  # fmt: skip


async def test_embeddings_measure_where_there_is_no_judge(world: World) -> None:
    told = await world.debate(
        topic="x?", participants=SIMULATED, rounds=1, embedding={"model": "echo", "provider": "simulator"}
    )
    assert told["consensus"]["method"] == "embedding"
    assert "r1.embedding" in {row["request_id"].partition(".")[2] for row in await world.rows()}


async def test_a_judge_that_fails_is_replaced_by_words_and_says_so(world: World) -> None:
    told = await world.debate(
        topic="x?",
        participants=SIMULATED,
        rounds=1,
        judge={"model": "lorem;fail=auth", "provider": "simulator"},
    )
    assert told["agreement"][0]["method"] == "lexical"
    assert told["agreement"][0]["note"].startswith("judge: ")
    assert told["answer"]["method"] == "selection"


async def test_nobody_answering_is_a_failed_debate_with_reasons(world: World) -> None:
    broken = [{"model": "lorem;fail=auth"}, {"model": "echo;fail=auth"}]
    told = await world.debate(topic="x?", participants=broken)
    assert (told["status"], told["stopped"]) == ("failed", "too_few_participants")
    assert "p1: auth" in told["error"]


async def test_the_deadline_ends_it_with_what_is_there(world: World) -> None:
    slow = [{"model": "lorem;latency=0.8"}, {"model": "lorem;latency=0.7", "name": "two"}]
    told = await world.debate(
        topic="x?", participants=slow, rounds=10, deadline_seconds=1.5, consensus_threshold=1
    )
    assert (told["status"], told["stopped"]) == ("completed", "deadline")
    assert told["consensus"]["round"] == 1


async def test_the_budget_is_never_passed(world: World) -> None:
    told = await world.debate(
        topic="x?", participants=[FAKE, SIMULATED[0]], rounds=10, max_tokens=100, budget_usd=0.0006,
        consensus_threshold=1,
    )  # fmt: skip
    assert told["stopped"] == "budget"
    assert 0 < told["usage"]["cost_usd"] <= 0.0006
    poor = {"topic": "x?", "participants": [FAKE, SIMULATED[0]], "budget_usd": 0.000001}
    refused = await world.client.post("/v1/debates", json=poor)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "budget_usd")


async def test_the_keys_own_budget_of_the_month_ends_it_with_what_is_there(world: World) -> None:
    keys = world.service.service.keys
    key, _ = await keys.create("poor", ["debate"], budget_usd=0.0009)
    told = await world.debate(
        key=key, topic="x?", participants=[FAKE, *SIMULATED[:2]], rounds=10, max_tokens=200,
        consensus_threshold=1,
    )  # fmt: skip
    assert (told["status"], told["stopped"]) == ("completed", "key_budget")
    assert any(turn["participant"] == "p1" and turn["status"] == "ok" for turn in told["turns"])
    assert 0 < told["usage"]["cost_usd"] <= 0.0009


@pytest.mark.parametrize("world", [{"LIMIT_CLIENT_PER_MINUTE": "600", "LIMIT_BURST": "2"}], indirect=True)
async def test_a_turn_waits_for_the_keys_rate_and_is_not_lost(world: World) -> None:
    told = await world.debate(topic="x?", participants=SIMULATED, rounds=2, consensus_threshold=1)
    assert [turn["status"] for turn in told["turns"]] == ["ok"] * 6


async def test_async_is_answered_at_once_and_read_later(world: World) -> None:
    begun = await world.debate(topic="x?", participants=SIMULATED, rounds=1, mode="async")
    assert begun["status"] == "running"
    async with asyncio.timeout(20):
        while (told := (await world.client.get(f"/v1/debates/{begun['id']}")).json())["status"] == "running":
            await asyncio.sleep(0.02)
    assert told["status"] == "completed"
    listed = (await world.client.get("/v1/debates", params={"status": "completed"})).json()
    assert [one["id"] for one in listed["data"]] == [begun["id"]]
    assert listed["has_more"] is False


async def test_a_stream_tells_every_turn_and_ends_with_the_whole(world: World) -> None:
    events: list[tuple[str, Any]] = []
    body = {"topic": "x?", "participants": SIMULATED, "rounds": 2, "consensus_threshold": 1, "mode": "stream"}
    async with world.client.stream("POST", "/v1/debates", json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        name = ""
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: {"):
                events.append((name, json.loads(line[6:])))
    names = [name for name, _ in events]
    assert names[0] == "debate.started"
    assert names[-1] == "debate.completed"
    assert names.count("turn.completed") == 6
    assert names.count("round.completed") == 2
    assert events[-1][1]["id"] == events[0][1]["id"]


async def test_delete_cancels_and_hangs_up(world: World) -> None:
    slow = [{"model": "lorem;latency=50"}, {"model": "lorem;latency=50", "name": "two"}]
    begun = await world.debate(topic="x?", participants=slow, mode="async")
    runner = world.service.service.debates
    assert runner._running
    cancelled = await world.client.delete(f"/v1/debates/{begun['id']}")
    assert cancelled.json()["status"] == "cancelled"
    async with asyncio.timeout(10):
        while runner._running:
            await asyncio.sleep(0.01)
    assert (await world.client.delete(f"/v1/debates/{begun['id']}")).status_code == 200
    assert world.service.service.metrics.debates.labels("cancelled").value == 1
    done = await world.debate(topic="x?", participants=SIMULATED, rounds=1)
    assert (await world.client.delete(f"/v1/debates/{done['id']}")).status_code == 409
    assert (await world.client.delete("/v1/debates/deb_none")).status_code == 404


async def test_a_client_that_leaves_cancels_its_debate(world: World) -> None:
    slow = [{"model": "lorem;latency=50"}, {"model": "lorem;latency=50", "name": "two"}]
    with pytest.raises(httpx.ReadTimeout):
        await world.client.post("/v1/debates", json={"topic": "x?", "participants": slow}, timeout=1)
    async with asyncio.timeout(10):
        while True:
            listed = (await world.client.get("/v1/debates")).json()["data"]
            if listed and listed[0]["status"] == "cancelled":
                break
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("world", [{"DEBATES_PER_KEY": "1", "DEBATES_TOTAL": "2"}], indirect=True)
async def test_open_debates_are_bounded_per_key_and_for_all(world: World, database_url: str) -> None:
    slow = [{"model": "lorem;latency=50"}, {"model": "lorem;latency=50", "name": "two"}]
    body = {"topic": "x?", "participants": slow, "mode": "async"}
    answers = await asyncio.gather(*[world.client.post("/v1/debates", json=body) for _ in range(4)])
    assert sorted(one.status_code for one in answers) == [202, 429, 429, 429]
    refused = next(one for one in answers if one.status_code == 429)
    assert refused.headers["retry-after"]
    statuses = []
    for _ in range(2):
        other = {"authorization": f"Bearer {create_key(database_url, 'debate')}"}
        statuses.append((await world.client.post("/v1/debates", json=body, headers=other)).status_code)
    assert statuses == [202, 429]


async def test_a_debate_is_seen_by_its_account_only(world: World, database_url: str) -> None:
    told = await world.debate(topic="x?", participants=SIMULATED, rounds=1)
    other = {"authorization": f"Bearer {create_key(database_url, 'debate')}"}
    assert (await world.client.get(f"/v1/debates/{told['id']}", headers=other)).status_code == 404
    assert (await world.client.delete(f"/v1/debates/{told['id']}", headers=other)).status_code == 404
    assert (await world.client.get("/v1/debates", headers=other)).json()["data"] == []
    chat = {"authorization": f"Bearer {create_key(database_url, 'chat')}"}
    assert (await world.client.get("/v1/debates", headers=chat)).status_code == 403


TWO = [{"model": "echo"}, {"model": "lorem"}]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"participants": TWO}, "topic"),
        ({"topic": "x", "messages": [{"role": "user", "content": "x"}], "participants": TWO}, "topic"),
        ({"messages": [{"role": "system", "content": "x"}], "participants": TWO}, "messages"),
        ({"topic": "x", "participants": TWO[:1]}, "participants"),
        ({"topic": "x", "participants": [TWO[0], {"model": "nobody"}]}, "participants[1].model"),
        (
            {"topic": "x", "participants": [TWO[0], {"model": "echo", "fallback": [{"model": "no"}]}]},
            "participants[1].fallback[0].model",
        ),
        ({"topic": "x", "participants": TWO, "rounds": 0}, "rounds"),
        ({"topic": "x", "participants": TWO, "consensus_threshold": 1.1}, "consensus_threshold"),
        ({"topic": "x", "participants": TWO, "budget_usd": 0}, "budget_usd"),
        ({"topic": "x", "participants": TWO, "deadline_seconds": 3000}, "deadline_seconds"),
        ({"topic": "x", "participants": TWO, "style": "loud"}, "style"),
        ({"topic": "x", "participants": TWO, "judge": {"model": "nobody"}}, "judge.model"),
        (
            {"topic": "x", "participants": [{"model": "echo", "name": "a"}, {"model": "echo", "name": "a"}]},
            "participants[1].name",
        ),
    ],
)
async def test_bad_input_names_its_field(world: World, body: dict[str, Any], param: str) -> None:
    response = await world.client.post("/v1/debates", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


async def test_awkward_characters_are_stored_and_read_back(world: World) -> None:
    told = await world.debate(
        topic="a\0b \\u0000 \\\\u0000 ü 🎈", participants=[{"model": "echo"}, {"model": "echo"}]
    )
    assert told["status"] == "completed"
    assert told["question"] == "a?b \\u0000 \\\\u0000 ü 🎈"
