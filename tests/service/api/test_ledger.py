"""When a call is booked: before its answer ends, once, and as what it was."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio

from service.api.call import Call
from service.api.exchange import Exchange
from service.storage.usage import UsageRow
from tests.service.running import Running, prepare, running

pytestmark = pytest.mark.component


class Desk:
    """A service, and what it did in which order: `booked` a row, `ended` an answer."""

    def __init__(self, service: Running, http: httpx.AsyncClient) -> None:
        self.service, self.http = service, http
        self.order: list[str] = []
        self.rows: list[UsageRow] = []

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        journal = self.service.service.journal
        append, reply, finish = journal.append, Exchange.reply, Exchange.finish

        def booked(row: UsageRow) -> None:
            append(row)
            self.order.append("booked")
            self.rows.append(row)

        def ended(real: Callable[..., Any]) -> Callable[..., Any]:
            async def send(exchange: Exchange, *given: Any) -> None:
                self.order.append("ended")
                await real(exchange, *given)

            return send

        patch.setattr(journal, "append", booked)
        patch.setattr(Exchange, "reply", ended(reply))
        patch.setattr(Exchange, "finish", ended(finish))

    async def chat(self, **fields: Any) -> str:
        body = {"model": "m", "messages": [{"role": "user", "content": "a few words"}], **fields}
        answer = await self.http.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        return answer.text


@pytest_asyncio.fixture
async def desk(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    key = prepare(database_url, "chat")
    async with (
        running(database_url) as service,
        httpx.AsyncClient(base_url=service.url, headers={"authorization": f"Bearer {key}"}) as http,
    ):
        made = Desk(service, http)
        made.watch(monkeypatch)
        yield made


@pytest.mark.parametrize("stream", [False, True])
async def test_the_row_is_in_the_journal_before_the_answer_ends(desk: Desk, stream: bool) -> None:
    await desk.chat(stream=stream)
    assert desk.order == ["booked", "ended"]


async def test_a_call_is_booked_once_however_often_it_ends(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = desk.service.service.pipeline
    end = pipeline.end

    def twice(call: Call, outcome: str) -> None:
        end(call, outcome)
        end(call, "internal")

    monkeypatch.setattr(pipeline, "end", twice)
    await desk.chat()
    assert [row.outcome for row in desk.rows] == ["ok"]


async def test_a_stream_that_breaks_is_booked_as_cut(desk: Desk) -> None:
    desk.service.router.fail_after = 2
    assert "[DONE]" not in await desk.chat(stream=True)
    assert [(row.outcome, row.output_tokens) for row in desk.rows] == [("cut", 2)]
