"""What limits and budgets say over HTTP: headers on every answer, 429 with a pause, 402 in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from service.providers.config import ProviderConfig, ProvidersConfig
from service.routing.router import Router
from tests.service.api.test_admin import bearer
from tests.service.running import Running, prepare, running

pytestmark = pytest.mark.component


class Desk:
    """One service, an admin's key, and keys made with it."""

    def __init__(self, service: Running, http: httpx.AsyncClient, admin: str) -> None:
        self.service, self.http, self.admin = service, http, admin

    async def key(self, **fields: Any) -> str:
        body = {"name": "app", "permissions": ["chat"], **fields}
        made = await self.http.post("/admin/api-keys", json=body, headers=bearer(self.admin))
        assert made.status_code == 201, made.text
        return made.json()["key"]

    async def chat(self, key: str, model: str = "m", **fields: Any) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}
        return await self.http.post("/v1/chat/completions", json=body, headers=bearer(key))


@pytest_asyncio.fixture
async def desk(database_url: str, valkey_server: str) -> AsyncIterator[Desk]:
    admin = prepare(database_url, "admin")
    async with (
        running(database_url, REDIS_URL=valkey_server) as service,
        httpx.AsyncClient(base_url=service.url) as http,
    ):
        yield Desk(service, http, admin)


async def test_every_answer_says_what_is_left_and_a_refusal_how_long_to_wait(desk: Desk) -> None:
    key = await desk.key(limits={"requests_per_minute": 60, "burst": 2})
    first, second, third = [await desk.chat(key) for _ in range(3)]
    assert [one.status_code for one in (first, second, third)] == [200, 200, 429]
    told = [
        (one.headers["x-ratelimit-limit"], one.headers["x-ratelimit-remaining"]) for one in (first, third)
    ]
    assert told == [("60", "1"), ("60", "0")]
    assert 1 <= int(third.headers["x-ratelimit-reset"]) <= 2
    assert third.headers["retry-after"] == "1"
    error = third.json()["error"]
    assert error["type"] == "rate_limit_error"
    assert 0 < error["retry_after"] <= 1
    assert error["request_id"] == third.headers["x-request-id"]


async def test_tokens_per_minute_count_what_was_written_too(desk: Desk) -> None:
    key = await desk.key(limits={"tokens_per_minute": 100})
    refused = [(await desk.chat(key, max_tokens=90)).status_code for _ in range(2)]
    # The first reserved 95 and used 2: settled, there is room again.
    assert refused == [200, 200]
    assert (await desk.chat(key, max_tokens=100)).status_code == 429


async def test_a_call_that_may_cost_more_than_the_budget_is_never_made(desk: Desk) -> None:
    key = await desk.key(budget_usd=0.000001)
    answer = await desk.chat(key, "gpt-5", max_tokens=1000)
    assert (answer.status_code, answer.json()["error"]["type"]) == (402, "budget_exceeded_error")
    assert desk.service.router.calls == 0


@pytest.mark.parametrize("model", ["best", "own/echo", "echo;tokens=5"])
async def test_a_call_is_reserved_for_at_the_price_it_is_charged_at(
    database_url: str, valkey_server: str, model: str
) -> None:
    """Also by an alias, and with a price of our own: else concurrent calls would overdraw the budget."""
    admin = prepare(database_url, "admin")
    prices = {"echo": {"input": 1_000.0, "output": 1_000.0}}
    own = ProviderConfig(name="own", kind="simulator", models=("echo", "lorem"), prices=prices)
    config = ProvidersConfig(providers=(own,), aliases={"best": ("own/lorem", "own/echo")})
    async with (
        running(database_url, Router(config), REDIS_URL=valkey_server) as service,
        httpx.AsyncClient(base_url=service.url) as http,
    ):
        desk = Desk(service, http, admin)
        key = await desk.key(budget_usd=0.5)
        assert (await desk.chat(key, model, max_tokens=1_000)).status_code == 402
        assert (await desk.chat(key, model, max_tokens=100)).status_code == 200


async def test_what_a_call_did_cost_counts_against_the_next(desk: Desk) -> None:
    key = await desk.key(budget_usd=0.0025)
    # The catalog has no price of this model: nothing is reserved, 0.001 is charged after each answer.
    statuses = []
    async with asyncio.timeout(10):
        while 402 not in statuses:
            statuses.append((await desk.chat(key)).status_code)
    assert statuses[:3] == [200, 200, 200]
    assert len(statuses) <= 5
