"""Reports come from a real streaming replica; one that is dead, silent or far behind is not asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.service.running import prepare, running
from tests.service.stores import Postgres, postgres

pytestmark = [pytest.mark.component, pytest.mark.timeout(180)]
USAGE = "/v1/usage?group_by="
SECURITY = "/admin/security/report"
ROW = (
    "insert into usage (request_id, at, key_id, endpoint, model, provider, provider_model, input_tokens, "
    "output_tokens, cached_tokens, cost_usd, latency_ms, ttft_ms, cache, outcome, attempts, stream) "
    "values (gen_random_uuid()::text, now(), 'k', '/x', 'm', 'p', 'm', 1, 1, 0, 0, 1, null, '', 'ok', 1, "
    "false)"
)


class Estate:
    """A primary, its replica, and a service that reports."""

    def __init__(self, primary: Postgres, replica: Postgres, client: httpx.AsyncClient) -> None:
        self.primary, self.replica, self._client = primary, replica, client

    async def report(self, path: str) -> dict[str, Any]:
        answer = await self._client.get(path)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def from_the(self, source: str, path: str = USAGE) -> dict[str, Any]:
        async def told() -> dict[str, Any] | None:
            found = await self.report(path)
            return found if found["source"] == source else None

        return await until(told)


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(60):
        while not (found := await condition()):
            await asyncio.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Postgres, Postgres, str]]:
    with postgres() as primary:
        key = prepare(primary.url, "admin")
        with postgres(primary) as replica:
            yield primary, replica, key


@pytest_asyncio.fixture
async def estate(
    servers: tuple[Postgres, Postgres, str], request: pytest.FixtureRequest
) -> AsyncIterator[Estate]:
    primary, replica, key = servers
    for one in (primary, replica):
        if one.process is None or one.process.poll() is not None:
            one.start()
        one.thaw()
    replica.query("select pg_wal_replay_resume()")
    lag = getattr(request, "param", "3600")
    environ = {"REPLICA_URL": replica.url, "REPLICA_LAG_SECONDS": lag}
    async with (
        running(primary.url, **environ) as service,
        httpx.AsyncClient(
            base_url=service.url, headers={"authorization": f"Bearer {key}"}, timeout=30
        ) as client,
    ):
        yield Estate(primary, replica, client)


def requests(report: dict[str, Any]) -> int:
    return int(report["data"][0]["requests"])


async def test_both_reports_are_read_from_the_replica(estate: Estate) -> None:
    before = requests(await estate.from_the("replica"))
    estate.primary.query(ROW)

    async def replayed() -> bool:
        return requests(await estate.from_the("replica")) == before + 1

    await until(replayed)
    # What the primary alone knows is not in a report: that is how one sees who was asked.
    estate.replica.query("select pg_wal_replay_pause()")
    estate.primary.query(ROW)
    old = await estate.report(USAGE)
    assert (old["source"], requests(old)) == ("replica", before + 1)
    security = await estate.report(SECURITY)
    assert security["source"] == "replica"
    total = security["keys"]["total"]
    estate.primary.query("update api_keys set name = name || 'x'")
    assert (await estate.report(SECURITY))["keys"]["total"] == total == 1


@pytest.mark.parametrize("estate", ["0.2"], indirect=True)
@pytest.mark.parametrize("path", [USAGE, SECURITY])
async def test_a_replica_that_is_far_behind_is_not_read(estate: Estate, path: str) -> None:
    await estate.from_the("replica", path)
    estate.replica.query("select pg_wal_replay_pause()")
    estate.primary.query(ROW)
    now = estate.primary.query("select count(*) from usage")
    told = await estate.from_the("primary", path)
    if path == USAGE:
        assert requests(told) == int(now[0])
    estate.replica.query("select pg_wal_replay_resume()")
    await estate.from_the("replica", path)


@pytest.mark.parametrize("path", [USAGE, SECURITY])
@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_a_replica_that_is_gone_fails_no_report(estate: Estate, path: str, how: str) -> None:
    await estate.from_the("replica", path)
    getattr(estate.replica, how)()
    assert (await estate.report(path))["source"] == "primary"
    assert (await estate.report(path))["source"] == "primary"
    estate.replica.start() if how == "kill" else estate.replica.thaw()
    await estate.from_the("replica", path)


async def test_without_the_primary_the_replica_still_reports(estate: Estate) -> None:
    before = requests(await estate.from_the("replica"))
    estate.primary.kill()
    told = await estate.report(USAGE)
    assert (told["source"], requests(told)) == ("replica", before)
