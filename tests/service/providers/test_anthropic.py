from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator

import anthropic
import msgspec
import pytest
import pytest_asyncio

from service.providers import anthropic_wire as wire
from service.providers.anthropic import Anthropic
from service.providers.base import (
    CanonicalRequest,
    Image,
    Message,
    ProviderError,
    ResponseFormat,
    StreamEnd,
    StreamStart,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Timeouts,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    ToolChoice,
    ToolResult,
)
from service.providers.config import ProviderConfig
from tests.parts import wait_until
from tests.service.fakes.anthropic_api import KEY, FakeAnthropic
from tests.service.fakes.serving import serve

Ask = Callable[..., CanonicalRequest]
CLASSIC = "claude-sonnet-4-6"
WEATHER = Tool("weather", "of a city", {"properties": {"city": {"type": "string"}}})


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[FakeAnthropic, str]]:
    fake = FakeAnthropic()
    with serve(fake) as url:
        yield fake, url


@pytest_asyncio.fixture
async def provider(
    server: tuple[FakeAnthropic, str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Anthropic]:
    monkeypatch.setenv("FAKE_ANTHROPIC_KEY", KEY)
    adapter = Anthropic(
        ProviderConfig(
            name="claude",
            kind="anthropic",
            base_url=server[1] + "/v1",
            key_env="FAKE_ANTHROPIC_KEY",
            models=(CLASSIC,),
            allow_private=True,
            timeouts=Timeouts(first_token=2, between_tokens=2),
        )
    )
    yield adapter
    await adapter.close()


async def test_a_whole_answer_counts_cached_tokens_as_input(
    provider: Anthropic, ask: Ask, soon: float
) -> None:
    answer = await provider.complete(ask("hello there", CLASSIC), soon)
    assert (answer.text, answer.finish) == ("hello there", "stop")
    used = answer.usage
    assert (used.input_tokens, used.output_tokens) == (12 + 5 + 30, 9)
    assert (used.cache_read_tokens, used.cache_write_tokens, used.cache_write_1h_tokens) == (30, 5, 4)


async def test_a_streamed_answer_says_and_counts_the_same(provider: Anthropic, ask: Ask, soon: float) -> None:
    events = [event async for event in provider.stream(ask("hello there", CLASSIC), soon)]
    start, end = events[0], events[-1]
    assert isinstance(start, StreamStart) and start.input_tokens == 47
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "hello there"
    whole = await provider.complete(ask("hello there", CLASSIC), soon)
    assert isinstance(end, StreamEnd) and (end.finish, end.usage) == (whole.finish, whole.usage)


async def test_thinking_and_tools_there_and_back(
    provider: Anthropic, server: tuple[FakeAnthropic, str], ask: Ask, soon: float
) -> None:
    first = await provider.complete(
        ask("weather?", CLASSIC, tools=(WEATHER,), thinking_budget=2_000, max_tokens=4_000), soon
    )
    thought, call = first.parts
    assert isinstance(thought, Thinking) and thought.signature == "c2ln"
    assert isinstance(call, ToolCall) and msgspec.json.decode(call.arguments) == {"city": "Oslo"}
    history = (
        Message("system", (Text("be brief", "1h"),)),
        Message("user", (Text("weather?"),)),
        Message("assistant", (thought, call)),
        # Text before the result, and two user turns in a row: both must be put right.
        Message("user", (Text("and now?"), ToolResult(call.id, (Text("rain"),), cache="5m"))),
        Message("user", (Image(data="aGk=", media_type="image/png"),)),
    )
    second = await provider.complete(
        ask(messages=history, model=CLASSIC, tools=(WEATHER,), thinking_budget=2_000), soon
    )
    assert second.text == "and now? [image]"
    body = server[0].requests[-1]
    assert body["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert body["thinking"]["budget_tokens"] == 2_000 < body["max_tokens"]


async def test_streamed_thinking_and_tool_calls(provider: Anthropic, ask: Ask, soon: float) -> None:
    request = ask("x", CLASSIC, tools=(WEATHER,), thinking_budget=1_500, max_tokens=4_000)
    events = [event async for event in provider.stream(request, soon)]
    thoughts = [event for event in events if isinstance(event, ThinkingDelta)]
    assert [(t.text, t.signature) for t in thoughts] == [("let me see", ""), ("", "c2ln")]
    assert [e.index for e in events if isinstance(e, ToolCallStart)] == [0]
    text = "".join(e.arguments for e in events if isinstance(e, ToolCallDelta))
    assert json.loads(text) == {"city": "Oslo"} and events[-1].finish == "tool_calls"  # type: ignore[union-attr]


@pytest.mark.parametrize("model", [CLASSIC, "claude-opus-5"])
async def test_every_field_reaches_a_server_that_refuses_unknown_and_retired_ones(
    provider: Anthropic, server: tuple[FakeAnthropic, str], ask: Ask, soon: float, model: str
) -> None:
    request = ask(
        "x",
        model,
        tools=(WEATHER,),
        tool_choice=ToolChoice("tool", "weather"),
        parallel_tool_calls=False,
        response_format=ResponseFormat("json_schema", schema={"type": "object"}),
        temperature=1.7,
        top_p=0.9,
        top_k=4,
        stop=("END", " "),
        seed=3,
        reasoning_effort="low",
        frequency_penalty=0.3,
        user="u1",
    )
    await provider.complete(request, soon)
    body = server[0].requests[-1]
    assert body["tool_choice"] == {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}
    assert body["stop_sequences"] == ["END"] and body["max_tokens"] == wire.DEFAULT_MAX_TOKENS
    assert body.get("temperature") == (1.0 if model == CLASSIC else None)
    assert set(body) - {"temperature", "top_k", "stream"} <= set(
        anthropic.types.message_create_params.MessageCreateParamsBase.__annotations__
    )


async def test_effort_becomes_what_the_model_knows(
    provider: Anthropic, server: tuple[FakeAnthropic, str], ask: Ask, soon: float
) -> None:
    await provider.complete(ask("x", CLASSIC, reasoning_effort="medium"), soon)
    assert server[0].requests[-1]["thinking"] == {"type": "enabled", "budget_tokens": 8_192}
    await provider.complete(ask("x", "claude-opus-5", reasoning_effort="medium"), soon)
    body = server[0].requests[-1]
    assert (body["thinking"]["type"], body["output_config"]["effort"]) == ("adaptive", "medium")


async def test_reasoning_of_another_provider_is_left_out(
    provider: Anthropic, server: tuple[FakeAnthropic, str], ask: Ask, soon: float
) -> None:
    messages = (
        Message("user", (Text("a"),)),
        Message("assistant", (Thinking("unsigned"), Text("b"))),
        Message("user", (Text("c"),)),
    )
    assert (await provider.complete(ask(messages=messages, model=CLASSIC), soon)).text == "c"
    assert server[0].requests[-1]["messages"][1]["content"] == [{"type": "text", "text": "b"}]


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"}, "context_too_long"),
        (400, {"type": "invalid_request_error", "message": "Your credit balance is too low"}, "quota"),
        (400, {"type": "invalid_request_error", "message": "max_tokens: bad"}, "bad_request"),
        (401, {"type": "authentication_error", "message": "invalid x-api-key"}, "auth"),
        (402, {"type": "billing_error", "message": "pay"}, "quota"),
        (403, {"type": "permission_error", "message": "no"}, "auth"),
        (404, {"type": "not_found_error", "message": "model: x"}, "not_found"),
        (413, {"type": "request_too_large", "message": "big"}, "bad_request"),
        (429, {"type": "rate_limit_error", "message": "slow down"}, "rate_limited"),
        (500, {"type": "api_error", "message": "oops"}, "internal"),
        (504, {"type": "timeout_error", "message": "late"}, "timeout"),
        (529, {"type": "overloaded_error", "message": "Overloaded"}, "overloaded"),
    ],
)
async def test_errors_find_their_kind(
    provider: Anthropic,
    server: tuple[FakeAnthropic, str],
    ask: Ask,
    soon: float,
    status: int,
    error: dict[str, str],
    kind: str,
) -> None:
    server[0].fail_next(status, {"type": "error", "error": error}, {"retry-after": "3"})
    with pytest.raises(ProviderError) as caught:
        await provider.complete(ask("x", CLASSIC), soon)
    assert (caught.value.kind, caught.value.status, caught.value.retry_after) == (kind, status, 3.0)


def sse(name: str, **fields: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


BEGIN = sse(
    "message_start", message={"id": "m", "model": "c", "usage": {"input_tokens": 3, "output_tokens": 1}}
)
WORD = sse("content_block_delta", index=0, delta={"type": "text_delta", "text": "hi"})


@pytest.mark.parametrize(
    ("tail", "kind"),
    [
        (sse("error", error={"type": "overloaded_error", "message": "Overloaded"}), "overloaded"),
        (b"", "transport"),
        (sse("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}), "transport"),
        (b"data: {broken\n\n", "transport"),
    ],
)
async def test_a_stream_that_does_not_end_well_is_an_error(
    provider: Anthropic, server: tuple[FakeAnthropic, str], ask: Ask, soon: float, tail: bytes, kind: str
) -> None:
    server[0].stream_next([BEGIN, WORD, tail])
    seen = []
    with pytest.raises(ProviderError) as caught:
        async for event in provider.stream(ask("x", CLASSIC), soon):
            seen.append(event)
    assert caught.value.kind == kind and [type(e) for e in seen] == [StreamStart, TextDelta]


async def test_hanging_up_closes_the_upstream_at_once(
    provider: Anthropic, server: tuple[FakeAnthropic, str], ask: Ask, soon: float
) -> None:
    server[0].gone.clear()
    stream = provider.stream(ask("x", "claude-slow"), soon)
    await anext(stream)
    await stream.aclose()
    assert provider._upstream.client.connections == 0
    await asyncio.to_thread(wait_until, server[0].gone.is_set, "the upstream sees the hang-up")


async def test_the_check_is_a_list_of_models(provider: Anthropic, soon: float) -> None:
    await provider.check(soon)


def test_the_fake_is_one_that_the_official_client_believes(server: tuple[FakeAnthropic, str]) -> None:
    client = anthropic.Anthropic(api_key=KEY, base_url=server[1], max_retries=0)
    message = client.messages.create(
        model=CLASSIC, max_tokens=10, messages=[{"role": "user", "content": "hi you"}]
    )
    assert message.content[0].text == "hi you"  # type: ignore[union-attr]
    with client.messages.stream(
        model=CLASSIC, max_tokens=10, messages=[{"role": "user", "content": "hi you"}]
    ) as stream:
        assert stream.get_final_message().usage.output_tokens == 9
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(
            model=CLASSIC, max_tokens=10, messages=[{"role": "assistant", "content": "hi"}]
        )
