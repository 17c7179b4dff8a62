"""Neither prompts nor answers nor keys reach the log or an error, whatever goes wrong."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from service.providers.errors import ProviderError
from tests.service.running import Running, prepare, running

CANARY = "canary-in-the-prompt"
WRONG_KEY = "sk-" + "canarykey" * 4 + "x" * 7


@pytest_asyncio.fixture
async def up(database_url: str, capfd: pytest.CaptureFixture[str]) -> AsyncIterator[tuple[Running, str]]:
    key = prepare(database_url, "chat")
    async with running(database_url, LOG_LEVEL="debug") as service:
        yield service, key


@pytest.mark.component
async def test_no_prompt_answer_or_key_is_logged_or_told(
    up: tuple[Running, str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, key = up
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": CANARY}]}
    errors = []
    async with httpx.AsyncClient(base_url=service.url) as http:

        async def ask(credential: str = key, **fields: Any) -> httpx.Response:
            headers = {"authorization": f"Bearer {credential}"}
            return await http.post("/v1/chat/completions", json={**body, **fields}, headers=headers)

        for fields in ({}, {"stream": True}):
            assert (await ask(**fields)).status_code == 200
        errors.append(await ask(WRONG_KEY))
        service.router.error = ProviderError("bad_request", "no", provider="p")
        errors.append(await ask())

        async def breaks(*_: object) -> object:
            raise ZeroDivisionError(CANARY, key)

        monkeypatch.setattr(service.router, "complete", breaks)
        errors.append(await ask())
    service.service.log.flush()
    assert [error.status_code for error in errors] == [401, 400, 500]
    logged = capfd.readouterr().out
    events = [json.loads(line)["event"] for line in logged.splitlines()]
    assert events.count("request") == 5
    assert "unexpected" in events
    told = logged + "".join(error.text for error in errors)
    for secret in (CANARY, key, key[11:], WRONG_KEY, "postgres@"):
        assert secret not in told
