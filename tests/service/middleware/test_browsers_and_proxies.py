"""What browsers may do, what every answer carries, and whose address counts behind proxies."""

from __future__ import annotations

import types

import httpx
import pytest

from service.api.gate import client_address
from tests.service.running import prepare, running

ORIGIN = "https://app.example"


def address(forwarded: str | None, proxies: int) -> str:
    headers = {} if forwarded is None else {b"x-forwarded-for": forwarded.encode()}
    return client_address(types.SimpleNamespace(client="10.0.0.9", headers=headers), proxies)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("forwarded", "proxies", "whose"),
    [
        (None, 1, "10.0.0.9"),
        ("6.6.6.6", 0, "10.0.0.9"),  # nobody is trusted: a header that anybody can send
        ("6.6.6.6, 1.2.3.4", 1, "1.2.3.4"),  # the client wrote the first entry, the proxy the last
        ("6.6.6.6, 1.2.3.4, 10.1.1.1", 2, "1.2.3.4"),
        ("1.2.3.4", 2, "10.0.0.9"),  # fewer hops than promised: nothing of it counts
        (" , ,", 1, "10.0.0.9"),
    ],
)
def test_only_what_trusted_proxies_wrote_counts(forwarded: str | None, proxies: int, whose: str) -> None:
    assert address(forwarded, proxies) == whose


@pytest.mark.component
async def test_origins_preflights_and_security_headers(database_url: str) -> None:
    prepare(database_url)
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}
    async with running(database_url, CORS_ORIGINS=ORIGIN) as service, httpx.AsyncClient() as client:
        path = f"{service.url}/v1/models"
        allowed = await client.options(path, headers={"Origin": ORIGIN, **asked})
        foreign = await client.options(path, headers={"Origin": "https://evil.example", **asked})
        refused = await client.get(path, headers={"Origin": ORIGIN})
    assert allowed.status_code in (200, 204)
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    assert "PUT" in allowed.headers["access-control-allow-methods"]
    assert "access-control-allow-origin" not in foreign.headers
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == ORIGIN  # a script may read why
    assert refused.headers["x-content-type-options"] == "nosniff"
    assert refused.headers["x-frame-options"] == "DENY"


@pytest.mark.component
async def test_without_origins_no_browser_may_call(database_url: str) -> None:
    prepare(database_url)
    async with running(database_url) as service, httpx.AsyncClient() as client:
        answer = await client.options(
            f"{service.url}/v1/models", headers={"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
        )
    assert "access-control-allow-origin" not in answer.headers
