"""`POST /chat` and `GET /v1/agents`: the surest agent answers, else a model; a plug-in package takes part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.service.running import Running, create_key, prepare, running

pytestmark = pytest.mark.component
CODE = "Please review this:\n```python\nimport os\nos.system('rm ' + name)\n```"

PLUG_IN = """
from service.agents.base import AgentLimits, AgentReply


class Invoices:
    name = "invoices"
    description = "Adds up invoices."
    capabilities = ("invoices",)
    limits = AgentLimits(max_seconds=2)

    def can_handle(self, message):
        return 0.9 if "invoice" in message else 0.0

    async def process(self, message):
        if "broken" in message:
            raise RuntimeError("secret detail")
        return AgentReply("42.00", {"total": 42})
"""


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package, as pip leaves it: a module and its metadata."""
    (tmp_path / "example_invoices.py").write_text(PLUG_IN)
    info = tmp_path / "example_invoices-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: example-invoices\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[superagent.agents]\ninvoices = example_invoices:Invoices\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest_asyncio.fixture
async def service(database_url: str, plug_in: None) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    key = prepare(database_url, "chat")
    async with (
        running(database_url) as one,
        httpx.AsyncClient(base_url=one.url, headers={"authorization": f"Bearer {key}"}) as client,
    ):
        yield one, client


async def _chat(service: tuple[Running, httpx.AsyncClient], **body: Any) -> httpx.Response:
    return await service[1].post("/chat", json=body)


async def test_code_goes_to_the_agent_that_knows_code(service: tuple[Running, httpx.AsyncClient]) -> None:
    told = (await _chat(service, message=CODE, model="m")).json()
    assert told["answered_by"] == {"kind": "agent", "name": "code-analysis", "confidence": 0.95}
    assert told["report"]["summary"]["by_kind"]["security"] >= 1
    assert "# Code analysis" in told["message"]
    assert service[0].router.calls == 0


async def test_other_words_go_to_the_model(service: tuple[Running, httpx.AsyncClient]) -> None:
    told = (await _chat(service, message="good morning", model="m")).json()
    assert told["answered_by"] == {"kind": "model", "name": "m", "provider": "fake"}
    assert told["message"] == "good morning"
    assert told["report"] is None


async def test_an_installed_package_adds_its_agent(service: tuple[Running, httpx.AsyncClient]) -> None:
    told = (await _chat(service, message="sum this invoice")).json()
    assert (told["answered_by"]["name"], told["message"], told["report"]) == (
        "invoices", "42.00", {"total": 42},
    )  # fmt: skip
    listed = (await service[1].get("/v1/agents")).json()["data"]
    assert [one["name"] for one in listed] == ["code-analysis", "invoices"]
    assert listed[1]["stats"]["answered"] == 1


async def test_what_an_agent_refuses_or_breaks_on_is_told_without_its_insides(
    service: tuple[Running, httpx.AsyncClient],
) -> None:
    refused = await _chat(service, message="no code here", agent="code-analysis")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "message")
    broken = await _chat(service, message="a broken invoice")
    assert broken.status_code == 502
    assert "secret detail" not in broken.text
    metrics = service[0].service.metrics.agent_requests
    assert metrics.labels("invoices", "failed").value == 1
    assert metrics.labels("code-analysis", "refused").value == 1


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"message": "good morning"}, "model"),
        ({"message": "x", "agent": "nobody"}, "agent"),
        ({"message": ""}, "message"),
        ({"model": "m"}, "message"),
        ({"message": "x", "model": "m", "max_tokens": 0}, "max_tokens"),
    ],
)
async def test_bad_input_names_its_field(
    service: tuple[Running, httpx.AsyncClient], body: dict[str, Any], param: str
) -> None:
    response = await _chat(service, **body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


async def test_an_agents_answer_has_one_row_in_the_ledger(
    service: tuple[Running, httpx.AsyncClient],
) -> None:
    response = await _chat(service, message=CODE)
    one = service[0].service
    async with asyncio.timeout(10):
        while (row := await one.database.fetchrow("select * from usage")) is None:
            await asyncio.sleep(0.02)
    assert (row["request_id"], row["provider"], row["provider_model"], row["cost_usd"]) == (
        response.headers["x-request-id"], "agent", "code-analysis", 0,
    )  # fmt: skip


async def test_agents_need_the_permission_chat(
    service: tuple[Running, httpx.AsyncClient], database_url: str
) -> None:
    other = {"authorization": f"Bearer {create_key(database_url, 'debate')}"}
    assert (await service[1].get("/v1/agents", headers=other)).status_code == 403
    assert (await service[1].post("/chat", json={"message": "x"}, headers=other)).status_code == 403


async def test_chat_is_counted_like_any_other_request(database_url: str) -> None:
    key = prepare(database_url, "chat")
    async with running(database_url, LIMIT_CLIENT_PER_MINUTE="1") as one, httpx.AsyncClient() as client:
        headers = {"authorization": f"Bearer {key}"}
        statuses = [
            (await client.post(one.url + "/chat", json={"message": CODE}, headers=headers)).status_code
            for _ in range(2)
        ]
    assert statuses == [200, 429]


@pytest.mark.parametrize("wrong", [{"message": "hello"}, {"message": "hello", "agent": "nobody"}])
async def test_a_message_that_nobody_takes_counts_as_any_request(
    database_url: str, wrong: dict[str, str]
) -> None:
    """Every agent has looked at it by then."""
    admin = prepare(database_url, "admin")
    body = {"name": "app", "permissions": ["chat"], "limits": {"requests_per_minute": 1, "burst": 2}}
    async with running(database_url) as one, httpx.AsyncClient(base_url=one.url) as client:
        made = await client.post("/admin/api-keys", json=body, headers={"authorization": f"Bearer {admin}"})
        client.headers["authorization"] = f"Bearer {made.json()['key']}"
        answers = [(await client.post("/chat", json=wrong)).status_code for _ in range(3)]
    assert answers == [400, 400, 429]
