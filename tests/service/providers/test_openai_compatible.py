from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import openai
import pytest
import pytest_asyncio

from service.providers.base import (
    CanonicalRequest,
    EmbeddingRequest,
    Image,
    Message,
    ProviderError,
    ResponseFormat,
    StreamEnd,
    StreamStart,
    Text,
    TextDelta,
    Timeouts,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    ToolChoice,
    ToolResult,
)
from service.providers.config import ProviderConfig
from service.providers.openai_compatible import OpenAICompatible
from tests.parts import wait_until
from tests.service.fakes.openai_api import KEY, FakeOpenAI

Ask = Callable[..., CanonicalRequest]
WEATHER = Tool("weather", "Weather of a city", {"type": "object", "properties": {"city": {"type": "string"}}})


@pytest_asyncio.fixture
async def provider(openai_server: tuple[FakeOpenAI, str], tmp_path: Path) -> AsyncIterator[OpenAICompatible]:
    (tmp_path / "key").write_text(KEY + "\n")
    adapter = OpenAICompatible(
        ProviderConfig(
            name="oa",
            kind="openai",
            base_url=openai_server[1],
            flavour="openai",
            key_file=str(tmp_path / "key"),
            models=("gpt-fake",),
            allow_private=True,
            timeouts=Timeouts(first_token=2, between_tokens=2),
        )
    )
    yield adapter
    await adapter.close()


async def test_a_whole_answer_with_its_usage(provider: OpenAICompatible, ask: Ask, soon: float) -> None:
    answer = await provider.complete(ask("hello there"), soon)
    assert answer.text == "hello there"
    assert (answer.finish, answer.model) == ("stop", "gpt-fake-2026")
    usage = answer.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (20, 2, 8)
    assert usage.reasoning_tokens == 2 and not usage.estimated


async def test_a_streamed_answer_with_its_usage(provider: OpenAICompatible, ask: Ask, soon: float) -> None:
    events = [event async for event in provider.stream(ask("hello there you"), soon)]
    assert isinstance(events[0], StreamStart)
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "hello there you"
    end = events[-1]
    assert isinstance(end, StreamEnd) and end.finish == "stop"
    assert (end.usage.input_tokens, end.usage.output_tokens, end.usage.cache_read_tokens) == (20, 3, 8)


async def test_a_finished_stream_gives_its_connection_back(
    provider: OpenAICompatible, ask: Ask, soon: float
) -> None:
    for _ in range(5):
        async for _event in provider.stream(ask(), soon):
            pass
        await provider.complete(ask(), soon)
    assert provider._upstream.client.connections <= 2


async def test_tools_there_and_back(provider: OpenAICompatible, ask: Ask, soon: float) -> None:
    first = await provider.complete(ask("weather?", tools=(WEATHER,)), soon)
    call = first.parts[0]
    assert isinstance(call, ToolCall) and first.finish == "tool_calls"
    assert (call.name, msgspec.json.decode(call.arguments)) == ("weather", {"city": "Oslo"})
    history = (
        Message("system", (Text("be brief"),)),
        Message("user", (Text("weather?"),)),
        Message("assistant", (call,)),
        Message("user", (ToolResult(call.id, (Text("rain"),)), Text("and now?"))),
    )
    second = await provider.complete(
        ask(messages=history, tools=(WEATHER,), tool_choice=ToolChoice("none")), soon
    )
    assert second.text == "and now?"


async def test_streamed_tool_calls_come_in_pieces_that_fit(
    provider: OpenAICompatible, ask: Ask, soon: float
) -> None:
    events = [event async for event in provider.stream(ask(tools=(WEATHER,)), soon)]
    starts = [event for event in events if isinstance(event, ToolCallStart)]
    assert [(s.index, s.name) for s in starts] == [(0, "weather")]
    text = "".join(e.arguments for e in events if isinstance(e, ToolCallDelta))
    assert msgspec.json.decode(text) == {"city": "Oslo"}
    assert events[-1].finish == "tool_calls"  # type: ignore[union-attr]


async def test_every_field_reaches_a_server_that_refuses_unknown_ones(
    provider: OpenAICompatible, openai_server: tuple[FakeOpenAI, str], ask: Ask, soon: float
) -> None:
    request = ask(
        messages=(
            Message("user", (Text("look"), Image(data="aGk=", media_type="image/png", detail="low"))),
            Message("assistant", (Text("yes"),)),
            Message("user", (Text("and"), Image(url="https://example.org/a.png")), name="ann"),
        ),
        tools=(WEATHER,),
        tool_choice=ToolChoice("tool", "weather"),
        parallel_tool_calls=False,
        response_format=ResponseFormat("json_schema", "r", {"type": "object"}, True),
        max_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop=("x", "y"),
        seed=7,
        frequency_penalty=0.1,
        presence_penalty=0.2,
        reasoning_effort="low",
        user="u1",
    )
    await provider.complete(request, soon)
    body = openai_server[0].requests[-1]
    openai_fields = set(openai.types.chat.completion_create_params.CompletionCreateParamsBase.__annotations__)
    assert set(body) <= openai_fields
    assert body["max_completion_tokens"] == 9 and "top_k" not in body and body["seed"] == 7
    assert body["messages"][0]["content"][1]["image_url"]["url"] == "data:image/png;base64,aGk="


async def test_json_mode_and_length(provider: OpenAICompatible, ask: Ask, soon: float) -> None:
    answer = await provider.complete(ask("x", response_format=ResponseFormat("json_object")), soon)
    assert msgspec.json.decode(answer.text) == {"said": "x"}
    assert (await provider.complete(ask("a b c d", max_tokens=2), soon)).finish == "length"


async def test_embeddings_come_back_in_the_order_asked(provider: OpenAICompatible, soon: float) -> None:
    answer = await provider.embed(EmbeddingRequest(model="e", inputs=("a", "bbb"), dimensions=2), soon)
    assert answer.vectors == ([1.0, 1.0], [3.0, 3.0])
    assert answer.usage.input_tokens == 2


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": {"message": "…", "code": "context_length_exceeded"}}, "context_too_long"),
        (400, {"object": "error", "message": "This model's maximum context length is 8"}, "context_too_long"),
        (400, {"error": {"code": 400, "type": "exceed_context_size_error"}}, "context_too_long"),
        (400, {"error": {"message": "bad", "param": "n"}}, "bad_request"),
        (400, {"error": {"code": "content_filter", "message": "no"}}, "content_filtered"),
        (401, {"message": "Wrong API Key", "code": "wrong_api_key"}, "auth"),
        (402, {"error": {"message": "Insufficient Balance"}}, "quota"),
        (404, {"error": "model not found"}, "not_found"),
        (422, {"error": {"message": "Failed to deserialize"}}, "bad_request"),
        (429, {"error": {"code": "insufficient_quota"}}, "quota"),
        (429, {"error": {"code": "rate_limit_exceeded"}}, "rate_limited"),
        (500, b"<html>", "internal"),
        (503, {"error": {"message": "busy"}}, "overloaded"),
        (529, {}, "overloaded"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_errors_find_their_kind(
    provider: OpenAICompatible,
    openai_server: tuple[FakeOpenAI, str],
    ask: Ask,
    soon: float,
    status: int,
    body: object,
    kind: str,
    streamed: bool,
) -> None:
    openai_server[0].fail_next(status, body, {"retry-after": "7"})
    with pytest.raises(ProviderError) as caught:
        if streamed:
            await anext(provider.stream(ask(), soon))
        else:
            await provider.complete(ask(), soon)
    error = caught.value
    assert (error.kind, error.status, error.provider, error.retry_after) == (kind, status, "oa", 7.0)


async def test_our_key_is_in_no_error_even_when_the_server_quotes_it(
    provider: OpenAICompatible, openai_server: tuple[FakeOpenAI, str], ask: Ask, soon: float
) -> None:
    for status in (400, 401):
        openai_server[0].fail_next(status, {"error": {"message": f"your key {KEY} is odd"}})
        with pytest.raises(ProviderError) as caught:
            await provider.complete(ask(), soon)
        assert KEY not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    "raw", [b"not json", b"[1, 2]", b'{"choices": []}', b'{"choices": [{"message": 5}]}', b"\xff\xfe"]
)
async def test_garbage_is_a_transport_error(
    provider: OpenAICompatible, openai_server: tuple[FakeOpenAI, str], ask: Ask, soon: float, raw: bytes
) -> None:
    openai_server[0].fail_next(200, raw)
    with pytest.raises(ProviderError) as caught:
        await provider.complete(ask(), soon)
    assert caught.value.kind == "transport"


CHUNK = b'data: {"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
STOP = b'data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'


@pytest.mark.parametrize("cut", [True, False])
async def test_a_stream_without_its_end_is_an_error_and_never_a_clean_end(
    provider: OpenAICompatible, openai_server: tuple[FakeOpenAI, str], ask: Ask, soon: float, cut: bool
) -> None:
    openai_server[0].stream_next([CHUNK], cut=cut)
    seen = []
    with pytest.raises(ProviderError) as caught:
        async for event in provider.stream(ask(), soon):
            seen.append(event)
    assert caught.value.kind == "transport"
    assert [type(event) for event in seen] == [StreamStart, TextDelta]


async def test_an_error_inside_a_stream_is_raised(
    provider: OpenAICompatible, openai_server: tuple[FakeOpenAI, str], ask: Ask, soon: float
) -> None:
    openai_server[0].stream_next([CHUNK, b'data: {"error": {"message": "busy", "code": 503}}\n\n'])
    with pytest.raises(ProviderError) as caught:
        async for _ in provider.stream(ask(), soon):
            pass
    assert caught.value.kind == "overloaded"


async def test_usage_is_estimated_and_says_so_when_the_server_tells_none(
    provider: OpenAICompatible, openai_server: tuple[FakeOpenAI, str], ask: Ask, soon: float
) -> None:
    openai_server[0].stream_next([CHUNK, STOP, b"data: [DONE]\n\n"])
    end = [event async for event in provider.stream(ask(), soon)][-1]
    assert isinstance(end, StreamEnd) and end.usage.estimated and end.usage.output_tokens == 1


async def test_silence_between_tokens_is_a_timeout(
    openai_server: tuple[FakeOpenAI, str], ask: Ask, soon: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_KEY", KEY)
    config = ProviderConfig(
        name="impatient",
        kind="openai",
        base_url=openai_server[1],
        key_env="FAKE_KEY",
        allow_private=True,
        timeouts=Timeouts(first_token=5, between_tokens=0.05),
    )
    provider = OpenAICompatible(config)
    openai_server[0].stream_next([CHUNK, CHUNK, STOP], gap=0.5)
    with pytest.raises(ProviderError) as caught:
        async for _ in provider.stream(ask(), soon):
            pass
    assert caught.value.kind == "timeout"
    await provider.close()


async def test_hanging_up_closes_the_upstream_at_once(
    provider: OpenAICompatible, openai_server: tuple[FakeOpenAI, str], ask: Ask, soon: float
) -> None:
    fake = openai_server[0]
    fake.gone.clear()
    stream = provider.stream(ask(model="gpt-slow"), soon)
    assert isinstance(await anext(stream), StreamStart)
    await stream.aclose()
    assert provider._upstream.client.connections == 0
    await asyncio.to_thread(wait_until, fake.gone.is_set, "the upstream sees the hang-up")


async def test_the_deadline_of_the_call_wins_over_the_providers_patience(
    provider: OpenAICompatible, ask: Ask
) -> None:
    with pytest.raises(ProviderError) as caught:
        async for _ in provider.stream(ask(model="gpt-slow"), time.monotonic() + 0.2):
            pass
    assert caught.value.kind == "timeout"


async def test_the_check_asks_for_the_models_and_tells_a_bad_key(
    provider: OpenAICompatible, openai_server: tuple[FakeOpenAI, str], soon: float
) -> None:
    await provider.check(soon)
    bad = OpenAICompatible(
        ProviderConfig(name="bad", kind="openai", base_url=openai_server[1], allow_private=True)
    )
    with pytest.raises(ProviderError) as caught:
        await bad.check(soon)
    assert caught.value.kind == "auth"
    await bad.close()


def test_the_fake_is_one_that_the_official_client_believes(openai_server: tuple[FakeOpenAI, str]) -> None:
    client = openai.OpenAI(api_key=KEY, base_url=openai_server[1], max_retries=0)
    whole = client.chat.completions.create(model="gpt-fake", messages=[{"role": "user", "content": "hi you"}])
    assert whole.choices[0].message.content == "hi you" and whole.usage and whole.usage.prompt_tokens == 20
    chunks = list(
        client.chat.completions.create(
            model="gpt-fake",
            messages=[{"role": "user", "content": "hi you"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "hi you"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(
            model="gpt-fake", messages=[{"role": "tool", "content": "x", "tool_call_id": "none"}]
        )
