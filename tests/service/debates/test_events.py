"""Following a debate and coming back to it; what old debates leave behind; refusals that are counted."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from service.debates.retention import Retention
from tests.service.debates.test_debate import SIMULATED, World, providers, upstream, world
from tests.service.running import create_key, running

pytestmark = pytest.mark.component
__all__ = ["providers", "upstream", "world"]

ASKED: dict[str, Any] = {"topic": "x?", "participants": SIMULATED, "rounds": 2, "consensus_threshold": 1}
SLOW: dict[str, Any] = {
    **ASKED,
    "participants": [{"model": "lorem;latency=0.3"}, {"model": "lorem;latency=0.6"}],
}
PATIENT: dict[str, Any] = {**ASKED, "participants": [{"model": f"lorem;latency={n}"} for n in (30, 31)]}
Told = tuple[int, str, dict[str, Any]]


async def read(response: httpx.Response, most: int = 1_000) -> tuple[list[Told], bool]:
    """Id, name and data of up to `most` events; whether it ended with `[DONE]`."""
    events: list[Told] = []
    number, name = 0, ""
    async for line in response.aiter_lines():
        if line.startswith("id: "):
            number = int(line[4:])
        elif line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: {"):
            events.append((number, name, json.loads(line[6:])))
            number = 0
            if len(events) >= most:
                return events, False
        elif line == "data: [DONE]":
            return events, True
    return events, False


async def follow(client: httpx.AsyncClient, identity: str, last: int = 0) -> tuple[list[Told], bool]:
    headers = {"last-event-id": str(last)} if last else {}
    async with client.stream("GET", f"/v1/debates/{identity}/events", headers=headers) as response:
        assert response.status_code == 200
        return await read(response)


async def begin(world: World, **body: Any) -> str:
    response = await world.client.post("/v1/debates", json={**body, "mode": "async"})
    assert response.status_code == 202, response.text
    identity: str = response.json()["id"]
    return identity


def numbered(events: list[Told]) -> list[Told]:
    return [one for one in events if one[0]]


async def test_what_was_told_live_is_told_again_and_the_rest_to_whoever_comes_back(world: World) -> None:
    async with world.client.stream("POST", "/v1/debates", json={**ASKED, "mode": "stream"}) as response:
        live, done = await read(response)
    assert done
    identity = live[0][2]["id"]
    ids = [number for number, _, _ in numbered(live)]
    assert ids == sorted(set(ids)) and len(ids) == 8  # six turns and two rounds
    again, done = await follow(world.client, identity)
    assert done
    assert numbered(again) == numbered(live)
    assert again[-1][1:] == live[-1][1:]
    rest, done = await follow(world.client, identity, ids[4])
    assert done
    assert numbered(rest) == numbered(live)[5:]
    assert numbered((await follow(world.client, identity, ids[-1]))[0]) == []


async def test_a_debate_is_followed_at_another_node_while_it_runs(world: World, database_url: str) -> None:
    identity = await begin(world, **SLOW)
    key = world.client.headers["authorization"]
    async with (
        running(database_url) as other,
        httpx.AsyncClient(base_url=other.url, headers={"authorization": key}, timeout=60) as client,
    ):
        async with client.stream("GET", f"/v1/debates/{identity}/events") as response:
            first, done = await read(response, most=2)  # and then the connection breaks
        assert not done
        rest, done = await follow(client, identity, first[-1][0])
    assert done
    told = [*numbered(first), *numbered(rest)]
    assert [name for _, name, _ in told].count("turn.completed") == 4
    assert len({number for number, _, _ in told}) == len(told) == 6
    assert rest[-1][1] == "debate.completed"
    assert rest[-1][2]["resumed"] == 0


async def test_a_debate_goes_on_without_its_client_when_it_was_asked_to(world: World) -> None:
    body = {**SLOW, "mode": "stream", "on_disconnect": "continue"}
    async with world.client.stream("POST", "/v1/debates", json=body) as response:
        first, _ = await read(response, most=3)
    events, done = await follow(world.client, first[0][2]["id"], max(number for number, _, _ in first))
    assert done
    assert events[-1][1] == "debate.completed"
    assert len(events[-1][2]["turns"]) == 4


async def test_following_is_for_the_account_and_ids_must_be_numbers(world: World, database_url: str) -> None:
    identity = await begin(world, **ASKED)
    path = f"/v1/debates/{identity}/events"
    stranger = create_key(database_url, "debate")
    headers = {"authorization": f"Bearer {stranger}"}
    assert (await world.client.get(path, headers=headers)).status_code == 404
    assert (await world.client.get("/v1/debates/deb_none/events")).status_code == 404
    for wrong in ("x", "-1", "1.5", "9" * 30):
        refused = await world.client.get(path, headers={"last-event-id": wrong})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "Last-Event-ID")


async def test_a_stopping_node_ends_the_stream_without_done(world: World) -> None:
    identity = await begin(world, **PATIENT)
    following = asyncio.create_task(follow(world.client, identity))
    while world.service.service.edge.open_requests == 0:
        await asyncio.sleep(0.01)
    world.service.service.debates.drain()
    events, done = await following
    assert not done
    assert [name for _, name, _ in events] == ["debate.started"]
    assert (await world.client.delete(f"/v1/debates/{identity}")).status_code == 200


async def test_old_debates_leave_in_batches_and_running_ones_and_the_ledger_stay(world: World) -> None:
    service = world.service.service
    ended = [(await world.debate(**ASKED))["id"] for _ in range(2)]
    runs = await begin(world, **PATIENT)
    rows = len(await world.rows())
    store = service.debates.store
    assert await store.forget(7, 10) == 0
    await service.database.execute(
        "update debates set created_at = now() - interval '9 days', "
        "finished_at = case when status = 'running' then null else now() - interval '8 days' end"
    )
    assert await store.forget(9, 10) == 0
    assert await store.forget(7, 1) == 1
    assert await Retention(store, service.log, 7).sweep() == 1
    for identity in ended:
        assert (await world.client.get(f"/v1/debates/{identity}")).status_code == 404
    assert (await world.client.get(f"/v1/debates/{runs}")).json()["status"] == "running"
    steps = await service.database.fetch("select distinct debate_id from debate_steps")
    assert {row["debate_id"] for row in steps} <= {runs}
    assert len(await world.rows()) >= rows


@pytest.mark.parametrize(
    "world", [{"DEBATES_PER_KEY": "1", "LIMIT_ENDPOINTS": '{"/v1/debates/{id}": 1}'}], indirect=True
)
async def test_refusals_are_counted_by_what_refused(world: World) -> None:
    limited = world.service.service.metrics.rate_limited

    def count(scope: str) -> float:
        return limited.labels(scope).read()

    identity = await begin(world, **PATIENT)
    again = {**PATIENT, "mode": "async"}
    assert (await world.client.post("/v1/debates", json=again)).status_code == 429
    assert count("client") == 1
    statuses = [(await world.client.get(f"/v1/debates/{identity}")).status_code for _ in range(3)]
    assert statuses == [200, 429, 429]
    assert count("endpoint") == 2
