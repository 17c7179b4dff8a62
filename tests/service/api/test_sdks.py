"""The official clients through the whole gateway to strict upstreams: each format over each provider.

Sync and async, whole and streamed, tools with their results, images, JSON mode, seeds, stop sequences, `n`.
The upstreams refuse what the real ones refuse, so a translation that is only nearly right fails here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.service.fakes import anthropic_api, openai_api
from tests.service.fakes.serving import serve
from tests.service.running import Process, prepare, process
from tests.service.stores import postgres

pytestmark = [pytest.mark.component, pytest.mark.timeout(180)]

PICTURE = "iVBORw0KGgo="
CITY: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION: Any = {
    "type": "function",
    "function": {"name": "weather", "description": "Of a city", "parameters": CITY},
}
TOOL: Any = {"name": "weather", "description": "Of a city", "input_schema": CITY}
MODELS = ("gpt-fake", "claude-sonnet-4-6")


class House:
    """A gateway in front of both upstreams."""

    def __init__(self, service: Process, key: str, gpt: Any, claude: Any) -> None:
        self.url, self.key, self.upstreams = service.url, key, {MODELS[0]: gpt, MODELS[1]: claude}

    def openai(self) -> openai.OpenAI:
        return openai.OpenAI(api_key=self.key, base_url=self.url + "/v1", max_retries=0)

    def anthropic(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(api_key=self.key, base_url=self.url, max_retries=0)

    def told(self, model: str) -> dict[str, Any]:
        """The last request that the upstream took."""
        told: dict[str, Any] = self.upstreams[model].requests[-1]
        return told


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("sdks")
    gpt, claude = openai_api.FakeOpenAI(), anthropic_api.FakeAnthropic()
    with serve(gpt) as gpt_url, serve(claude) as claude_url, postgres() as store:
        providers = [
            account("gpt", "openai", gpt_url + "/v1", MODELS[0], openai_api.KEY, folder)
            | {"flavour": "openai"},
            account("claude", "anthropic", claude_url + "/v1", MODELS[1], anthropic_api.KEY, folder),
        ]
        (folder / "providers.json").write_text(json.dumps({"providers": providers}))
        key = prepare(store.url, "chat")
        with process(store.url, folder, PROVIDERS_FILE=str(folder / "providers.json")) as service:
            yield House(service, key, gpt, claude)


def account(name: str, kind: str, url: str, model: str, key: str, folder: Path) -> dict[str, Any]:
    (folder / name).write_text(key)
    return {
        "name": name, "kind": kind, "base_url": url, "models": [model], "key_file": str(folder / name),
        "allow_private": True,
    }  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_openais_client_calls_a_tool_and_tells_its_result(house: House, model: str) -> None:
    with house.openai() as client:
        messages: list[Any] = [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "Oslo?"},
        ]
        first = client.chat.completions.create(model=model, messages=messages, tools=[FUNCTION])
        [call] = first.choices[0].message.tool_calls or []
        assert first.choices[0].finish_reason == "tool_calls"
        assert call.type == "function" and call.function.name == "weather"
        assert json.loads(call.function.arguments) == {"city": "Oslo"}
        messages += [
            first.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "rain"},
        ]
        last = client.chat.completions.create(model=model, messages=messages, tools=[FUNCTION])
        assert last.choices[0].finish_reason == "stop"
        assert last.choices[0].message.content
        assert last.usage is not None and last.usage.total_tokens > 0


@pytest.mark.parametrize("model", MODELS)
async def test_openais_client_streams_a_tool_call(house: House, model: str) -> None:
    async with (
        openai.AsyncOpenAI(api_key=house.key, base_url=house.url + "/v1", max_retries=0) as client,
        client.chat.completions.stream(
            model=model,
            messages=[{"role": "user", "content": "Oslo?"}],
            tools=[FUNCTION],
            tool_choice={"type": "function", "function": {"name": "weather"}},
            stream_options={"include_usage": True},
        ) as stream,
    ):
        final = await stream.get_final_completion()
    [call] = final.choices[0].message.tool_calls or []
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Oslo"})
    assert final.usage is not None and final.usage.completion_tokens > 0


@pytest.mark.parametrize("model", MODELS)
def test_anthropics_client_calls_a_tool_and_tells_its_result(house: House, model: str) -> None:
    with house.anthropic() as client:
        messages: list[Any] = [{"role": "user", "content": "Oslo?"}]
        ask: Any = {"model": model, "max_tokens": 100, "tools": [TOOL], "system": "be brief"}
        first = client.messages.create(messages=messages, **ask)
        assert first.stop_reason == "tool_use"
        [call] = [block for block in first.content if block.type == "tool_use"]
        assert (call.name, call.input) == ("weather", {"city": "Oslo"})
        messages += [
            {
                "role": "assistant",
                "content": [block.model_dump(exclude_none=True) for block in first.content],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}]},
        ]
        last = client.messages.create(messages=messages, **ask)
        assert last.stop_reason == "end_turn"
        assert last.content[0].type == "text" and last.content[0].text


@pytest.mark.parametrize("model", MODELS)
async def test_anthropics_client_streams_a_tool_call(house: House, model: str) -> None:
    async with (
        anthropic.AsyncAnthropic(api_key=house.key, base_url=house.url, max_retries=0) as client,
        client.messages.stream(
            model=model,
            max_tokens=100,
            tools=[TOOL],
            tool_choice={"type": "tool", "name": "weather"},
            messages=[{"role": "user", "content": "Oslo?"}],
        ) as stream,
    ):
        final = await stream.get_final_message()
    [call] = [block for block in final.content if block.type == "tool_use"]
    assert (call.name, call.input, final.stop_reason) == ("weather", {"city": "Oslo"}, "tool_use")


@pytest.mark.parametrize("model", MODELS)
def test_an_image_reaches_the_provider(house: House, model: str) -> None:
    url = f"data:image/png;base64,{PICTURE}"
    content: Any = [{"type": "text", "text": "what is"}, {"type": "image_url", "image_url": {"url": url}}]
    with house.openai() as client:
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])
        assert answer.choices[0].message.content == "what is [image]"
    source: Any = {"type": "base64", "media_type": "image/png", "data": PICTURE}
    blocks: Any = [{"type": "text", "text": "what is"}, {"type": "image", "source": source}]
    with house.anthropic() as claude:
        said = claude.messages.create(
            model=model, max_tokens=50, messages=[{"role": "user", "content": blocks}]
        )
        assert said.content[0].type == "text" and said.content[0].text == "what is [image]"
    assert PICTURE in json.dumps(house.told(model))


def test_what_only_some_providers_have_reaches_those(house: House) -> None:
    with house.openai() as client:
        answer = client.chat.completions.create(
            model=MODELS[0],
            messages=[{"role": "user", "content": "hello"}],
            seed=7,
            stop=["END", "STOP"],
            response_format={"type": "json_object"},
            temperature=0.5,
        )
        assert json.loads(answer.choices[0].message.content or "") == {"said": "hello"}
        told = house.told(MODELS[0])
        assert (told["seed"], told["stop"], told["temperature"]) == (7, ["END", "STOP"], 0.5)
        assert told["response_format"] == {"type": "json_object"}
        client.chat.completions.create(
            model=MODELS[1], messages=[{"role": "user", "content": "hello"}], stop="END", seed=7
        )
        assert house.told(MODELS[1])["stop_sequences"] == ["END"]


@pytest.mark.parametrize("model", MODELS)
def test_several_choices_of_any_provider(house: House, model: str) -> None:
    with house.openai() as client:
        ask: Any = {"model": model, "messages": [{"role": "user", "content": "hello there"}], "n": 3}
        whole = client.chat.completions.create(**ask)
        assert [one.message.content for one in whole.choices] == ["hello there"] * 3
        seen = {0: "", 1: "", 2: ""}
        for chunk in client.chat.completions.create(**ask, stream=True):
            for one in chunk.choices:
                seen[one.index] += one.delta.content or ""
        assert list(seen.values()) == ["hello there"] * 3


def test_embeddings_reach_a_provider_that_has_them(house: House) -> None:
    with house.openai() as client:
        found = client.embeddings.create(model=MODELS[0], input=["a", "bbb"], dimensions=3)
        assert [one.embedding for one in found.data] == [[1.0] * 3, [3.0] * 3]
        with pytest.raises(openai.APIStatusError) as caught:
            client.embeddings.create(model=MODELS[1], input="a")
        assert 400 <= caught.value.status_code < 500


def test_both_clients_at_once_get_their_own_answers(house: House) -> None:
    async def all_of_them() -> None:
        async with (
            openai.AsyncOpenAI(api_key=house.key, base_url=house.url + "/v1", max_retries=0) as one,
            anthropic.AsyncAnthropic(api_key=house.key, base_url=house.url, max_retries=0) as other,
        ):

            async def by_openai(number: int) -> None:
                text = f"number {number}"
                answer = await one.chat.completions.create(
                    model=MODELS[number % 2], messages=[{"role": "user", "content": text}]
                )
                assert answer.choices[0].message.content == text

            async def by_anthropic(number: int) -> None:
                text = f"other {number}"
                answer = await other.messages.create(
                    model=MODELS[number % 2], max_tokens=20, messages=[{"role": "user", "content": text}]
                )
                assert answer.content[0].type == "text" and answer.content[0].text == text

            await asyncio.gather(*[by(number) for number in range(10) for by in (by_openai, by_anthropic)])

    asyncio.run(all_of_them())
