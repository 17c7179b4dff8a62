"""A report may be slow; nobody else is, and nothing is taken for lost."""

from __future__ import annotations

import asyncio

import asyncpg
import httpx
import pytest

from tests.service.running import prepare, running

pytestmark = pytest.mark.component
WAITING = (
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
)


async def test_slow_reports_hold_nobody_else_up(database_url: str) -> None:
    key = prepare(database_url, "admin")
    blocker = await asyncpg.connect(database_url)
    async with (
        running(database_url) as service,
        httpx.AsyncClient(base_url=service.url, timeout=60) as client,
        blocker.transaction(),
    ):
        known, stranger = ({"authorization": f"Bearer {one}"} for one in (key, "sk-" + "x" * 43))
        assert (await client.get("/v1/usage", headers=known)).status_code == 200
        found: list[bool] = []
        service.service.database.on_change.append(found.append)
        await blocker.execute("lock table usage in access exclusive mode")
        reports = [asyncio.create_task(client.get("/v1/usage", headers=known)) for _ in range(8)]
        async with asyncio.timeout(20):
            while service.service.edge.open_requests < 8 or not await blocker.fetchval(WAITING):
                await asyncio.sleep(0.01)
        asked = await client.get("/v1/models", headers=stranger)
        before = not any(one.done() for one in reports)
        assert {(await one).status_code for one in reports} == {503}
        assert asked.status_code == 401
        assert before, "it waited for a report"
        assert found == [], "a slow report is no outage"
    await blocker.close()
