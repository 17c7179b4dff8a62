"""Settings changed while two nodes run: both follow, a restart keeps them, bad values change nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.service.api.test_admin import CHAT, Nodes, bearer, create_key, until
from tests.service.running import prepare, running

pytestmark = pytest.mark.component
SAME: Any = {**CHAT, "temperature": 0}


@pytest_asyncio.fixture
async def nodes(database_url: str, valkey_server: str) -> AsyncIterator[Nodes]:
    admin = prepare(database_url, "admin")
    async with (
        running(database_url, REDIS_URL=valkey_server, CACHE_SECONDS="0") as one,
        running(database_url, REDIS_URL=valkey_server, CACHE_SECONDS="0") as two,
        httpx.AsyncClient(base_url=one.url) as first,
        httpx.AsyncClient(base_url=two.url) as second,
    ):
        yield Nodes(first, second, admin, database_url)


async def cached(client: httpx.AsyncClient, key: str) -> str:
    answer = await client.post("/v1/chat/completions", json=SAME, headers=bearer(key))
    assert answer.status_code == 200, answer.text
    return answer.headers["x-superagent-cache"]


async def test_the_cache_is_switched_on_and_off_at_every_node(nodes: Nodes) -> None:
    assert await cached(nodes.one, nodes.admin) == "bypass"
    put = await nodes.admin_call("PUT", "/admin/settings/cache_seconds", json={"value": 600})
    assert put.status_code == 200, put.text
    told = put.json()
    assert (told["value"], told["source"], told["environment"]) == (600, "runtime", 0)

    async def on() -> bool:
        return await cached(nodes.two, nodes.admin) == "exact"

    await until(on)
    told = (await nodes.admin_call("DELETE", "/admin/settings/cache_seconds")).json()
    assert (told["value"], told["source"]) == (0, "environment")

    async def off() -> bool:
        return await cached(nodes.two, nodes.admin) == "bypass"

    await until(off)


async def test_a_node_that_starts_later_has_the_changed_value(nodes: Nodes, valkey_server: str) -> None:
    await nodes.admin_call("PUT", "/admin/settings/cache_seconds", json={"value": 600})
    async with (
        running(nodes.database_url, REDIS_URL=valkey_server, CACHE_SECONDS="0") as third,
        httpx.AsyncClient(base_url=third.url) as client,
    ):
        assert await cached(client, nodes.admin) in ("miss", "exact")


@pytest.mark.parametrize("value", [-1, 2_592_001, 1.5, "600", None])
async def test_a_value_out_of_bounds_is_refused_with_its_field(nodes: Nodes, value: object) -> None:
    answer = await nodes.admin_call("PUT", "/admin/settings/cache_seconds", json={"value": value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "value")
    assert (await nodes.admin_call("GET", "/admin/settings/cache_seconds")).json()["source"] == "environment"


async def test_only_listed_settings_and_only_by_admins(nodes: Nodes) -> None:
    answer = await nodes.admin_call("PUT", "/admin/settings/database_url", json={"value": 1})
    assert answer.status_code == 404
    assert "cache_seconds" in answer.json()["error"]["message"]
    listed = (await nodes.admin_call("GET", "/admin/settings")).json()["data"]
    assert [one["name"] for one in listed] == ["cache_seconds"]
    other = create_key(nodes.database_url, "chat", "write")
    refused = await nodes.one.put("/admin/settings/cache_seconds", json={"value": 1}, headers=bearer(other))
    assert refused.status_code == 403
