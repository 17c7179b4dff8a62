"""What a request adds to the metrics: bounded labels, whatever clients make up."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client import generate_latest

from tests.service.running import prepare, running


@pytest.mark.component
async def test_labels_are_templates_and_known_methods_whatever_clients_ask_for(database_url: str) -> None:
    key = prepare(database_url, "chat")
    async with (
        running(database_url) as service,
        httpx.AsyncClient(base_url=service.url, headers={"authorization": f"Bearer {key}"}) as http,
    ):
        for number in range(3):
            await http.get(f"/admin/api-keys/made-up-{number}")
            await http.get(f"/made-up-{number}")
            await http.request("PURGE", f"/made-up-{number}")
        text = generate_latest(service.service.metrics.registry).decode()
    lines = [line for line in text.splitlines() if line.startswith("superagent_http_requests_total{")]
    assert sorted(lines) == [
        'superagent_http_requests_total{method="GET",path="/admin/api-keys/{id}",status="403"} 3.0',
        'superagent_http_requests_total{method="GET",path="unmatched",status="404"} 3.0',
        'superagent_http_requests_total{method="OTHER",path="unmatched",status="404"} 3.0',
    ]
