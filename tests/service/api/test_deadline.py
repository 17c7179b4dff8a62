"""A request's time is the time of every call that it makes."""

from __future__ import annotations

import httpx
import pytest

from service.routing.router import Router
from tests.service.running import prepare, running


@pytest.mark.component
@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_ends_with_the_requests_time(database_url: str, stream: bool) -> None:
    key = prepare(database_url, "chat")
    body = {
        "model": "echo;latency=60",
        "stream": stream,
        "messages": [{"role": "user", "content": "hi"}],
    }
    async with (
        running(database_url, Router.from_file(None), REQUEST_TIMEOUT_SECONDS="0.2") as service,
        httpx.AsyncClient(base_url=service.url, timeout=10) as http,
    ):
        headers = {"authorization": f"Bearer {key}"}
        answer = await http.post("/v1/chat/completions", json=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["type"]) == (504, "timeout_error")
