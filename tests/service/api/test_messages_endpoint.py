"""`/v1/messages` through the official Anthropic client, and the smaller endpoints through OpenAI's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio

from service.routing.router import Router
from tests.service.fake import FakeRouter
from tests.service.running import Running, prepare, running

pytestmark = pytest.mark.component

ASK: Any = {"model": "echo", "max_tokens": 50, "messages": [{"role": "user", "content": "hello big world"}]}


@pytest_asyncio.fixture
async def up(
    database_url: str,
) -> AsyncIterator[tuple[Running, anthropic.AsyncAnthropic, openai.AsyncOpenAI]]:
    key = prepare(database_url, "chat")
    async with (
        running(database_url, Router.from_file(None)) as service,
        anthropic.AsyncAnthropic(api_key=key, base_url=service.url, max_retries=0) as claude,
        openai.AsyncOpenAI(api_key=key, base_url=service.url + "/v1", max_retries=0) as client,
    ):
        yield service, claude, client


Clients = tuple[Running, anthropic.AsyncAnthropic, openai.AsyncOpenAI]


async def test_anthropics_client_completes_and_streams(up: Clients) -> None:
    _, claude, _ = up
    answer = await claude.messages.create(**ASK)
    assert "hello big world" in answer.content[0].text
    async with claude.messages.stream(**ASK) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert text == answer.content[0].text
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == answer.usage.output_tokens


async def test_its_errors_are_anthropics(up: Clients) -> None:
    _, claude, _ = up
    with pytest.raises(anthropic.AuthenticationError) as caught:
        await claude.with_options(api_key="sk-" + "x" * 43).messages.create(**ASK)
    assert caught.value.body["type"] == "error"  # type: ignore[index]
    with pytest.raises(anthropic.NotFoundError):
        await claude.messages.create(**{**ASK, "model": "nobody"})
    with pytest.raises(anthropic.BadRequestError):
        await claude.messages.create(**{**ASK, "max_tokens": 0})


async def test_a_cut_stream_is_an_error_for_its_client(database_url: str) -> None:
    key = prepare(database_url, "chat")
    async with (
        running(database_url, FakeRouter(fail_after=2)) as service,
        anthropic.AsyncAnthropic(api_key=key, base_url=service.url, max_retries=0) as claude,
    ):
        with pytest.raises(anthropic.APIStatusError, match="went away"):
            async with claude.messages.stream(**ASK) as stream:
                async for _ in stream.text_stream:
                    pass


async def test_models_completions_and_embeddings(up: Clients) -> None:
    _, _, client = up
    models = [model.id async for model in client.models.list()]
    assert models
    assert (await client.models.retrieve(models[0])).id == models[0]
    answer = await client.completions.create(model="echo", prompt="say this", max_tokens=20)
    assert "say this" in answer.choices[0].text
    stream = await client.completions.create(model="echo", prompt="say this", stream=True)
    assert "say this" in "".join([chunk.choices[0].text async for chunk in stream if chunk.choices])
    embedded = await client.embeddings.create(model="echo", input=["one", "two"])
    plain = await client.embeddings.create(model="echo", input=["one", "two"], encoding_format="float")
    assert [one.index for one in embedded.data] == [0, 1]
    assert embedded.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)
