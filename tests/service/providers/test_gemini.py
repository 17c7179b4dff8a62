from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec
import pytest
import pytest_asyncio
from google import genai
from google.genai import types

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
from service.providers.gemini import Gemini
from tests.service.fakes.gemini_api import KEY, SIGNATURE, FakeGemini
from tests.service.fakes.serving import serve

Ask = Callable[..., CanonicalRequest]
FLASH = "gemini-2.5-flash"
WEATHER = Tool("weather", "of a city", {"type": "object", "properties": {"city": {"type": "string"}}})


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[FakeGemini, str]]:
    fake = FakeGemini()
    with serve(fake) as url:
        yield fake, url


@pytest_asyncio.fixture
async def provider(server: tuple[FakeGemini, str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gemini]:
    monkeypatch.setenv("FAKE_GEMINI_KEY", KEY)
    adapter = Gemini(
        ProviderConfig(
            name="google",
            kind="gemini",
            base_url=server[1] + "/v1beta",
            key_env="FAKE_GEMINI_KEY",
            models=(FLASH,),
            allow_private=True,
            timeouts=Timeouts(first_token=2, between_tokens=2),
        )
    )
    yield adapter
    await adapter.close()


async def test_a_whole_answer_counts_thoughts_as_output(provider: Gemini, ask: Ask, soon: float) -> None:
    answer = await provider.complete(ask("hello there", FLASH), soon)
    assert (answer.text, answer.finish, answer.model) == ("hello there", "stop", FLASH + "-001")
    used = answer.usage
    assert (used.input_tokens, used.output_tokens, used.cache_read_tokens) == (11, 10, 5)
    assert used.reasoning_tokens == 6


async def test_a_streamed_answer_says_and_counts_the_same(provider: Gemini, ask: Ask, soon: float) -> None:
    events = [event async for event in provider.stream(ask("hello there", FLASH), soon)]
    assert isinstance(events[0], StreamStart) and events[0].input_tokens == 11
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "hello there"
    end = events[-1]
    assert isinstance(end, StreamEnd) and (end.finish, end.usage.output_tokens) == ("stop", 10)


@pytest.mark.parametrize("model", [FLASH, "gemini-3-pro"])
@pytest.mark.parametrize("keeps_signature", [True, False])
async def test_tools_there_and_back_with_or_without_their_signature(
    provider: Gemini, ask: Ask, soon: float, model: str, keeps_signature: bool
) -> None:
    first = await provider.complete(ask("weather?", model, tools=(WEATHER,)), soon)
    call = first.parts[0]
    assert isinstance(call, ToolCall) and first.finish == "tool_calls" and call.signature == SIGNATURE
    assert msgspec.json.decode(call.arguments) == {"city": "Oslo"} and call.id
    if not keeps_signature:
        call = msgspec.structs.replace(call, signature="")
    history = (
        Message("system", (Text("be brief"),)),
        Message("user", (Text("weather?"),)),
        Message("assistant", (Thinking("hm"), call)),
        Message("user", (ToolResult(call.id, (Text("rain"),)),)),
        Message("user", (Text("and now?"),)),
    )
    second = await provider.complete(ask(messages=history, model=model, tools=(WEATHER,)), soon)
    assert second.text == "and now?"


async def test_streamed_thoughts_and_tool_calls(provider: Gemini, ask: Ask, soon: float) -> None:
    request = ask("x", FLASH, tools=(WEATHER,), reasoning_effort="low")
    events = [event async for event in provider.stream(request, soon)]
    assert [e.text for e in events if isinstance(e, ThinkingDelta)] == ["let me see"]
    starts = [e for e in events if isinstance(e, ToolCallStart)]
    assert [(s.index, s.name, s.signature) for s in starts] == [(0, "weather", SIGNATURE)]
    assert [json.loads(e.arguments) for e in events if isinstance(e, ToolCallDelta)] == [{"city": "Oslo"}]


async def test_every_field_reaches_a_server_that_refuses_unknown_ones(
    provider: Gemini, server: tuple[FakeGemini, str], ask: Ask, soon: float
) -> None:
    request = ask(
        messages=(
            Message(
                "user",
                (
                    Text("look"),
                    Image(data="aGk=", media_type="image/png"),
                    Image(url="https://e.org/a.webp?x=1"),
                ),
            ),
        ),
        model=FLASH,
        tools=(WEATHER, Tool("now", parameters={"type": "object", "properties": {}})),
        tool_choice=ToolChoice("tool", "weather"),
        response_format=ResponseFormat("json_schema", schema={"type": "object"}),
        max_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop=("x",),
        seed=2**40 + 7,
        frequency_penalty=0.1,
        presence_penalty=0.2,
        thinking_budget=100,
        user="u1",
    )
    await provider.complete(request, soon)
    body = server[0].requests[-1]
    assert body["contents"][0]["parts"][2]["fileData"]["mimeType"] == "image/webp"
    assert body["toolConfig"]["functionCallingConfig"] == {"mode": "ANY", "allowedFunctionNames": ["weather"]}
    assert body["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 100, "includeThoughts": True}
    # The official types know every field that we send.
    config = types.GenerateContentConfig.model_validate(body["generationConfig"])
    assert config.max_output_tokens == 9 and config.seed == 7
    for content in body["contents"]:
        types.Content.model_validate(content)


async def test_embeddings(provider: Gemini, soon: float) -> None:
    request = EmbeddingRequest(model="gemini-embedding-001", inputs=("a", "bbb"), dimensions=2)
    answer = await provider.embed(request, soon)
    assert answer.vectors == ([1.0, 1.0], [3.0, 3.0]) and answer.usage.estimated


@pytest.mark.parametrize(
    ("status", "error", "kind", "pause"),
    [
        (400, {"status": "INVALID_ARGUMENT", "message": "bad"}, "bad_request", None),
        (400, {"status": "INVALID_ARGUMENT", "message": "API key not valid."}, "auth", None),
        (
            400,
            {
                "status": "INVALID_ARGUMENT",
                "message": "The input token count (9) exceeds the maximum number of tokens allowed (8).",
            },
            "context_too_long",
            None,
        ),
        (400, {"status": "FAILED_PRECONDITION", "message": "enable billing"}, "quota", None),
        (403, {"status": "PERMISSION_DENIED", "message": "no"}, "auth", None),
        (404, {"status": "NOT_FOUND", "message": "no"}, "not_found", None),
        (
            429,
            {"status": "RESOURCE_EXHAUSTED", "details": [{"@type": "…RetryInfo", "retryDelay": "22.5s"}]},
            "rate_limited",
            22.5,
        ),
        (
            429,
            {
                "status": "RESOURCE_EXHAUSTED",
                "details": [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProject"}]}],
            },
            "quota",
            None,
        ),
        (500, {"status": "INTERNAL", "message": "oops"}, "internal", None),
        (503, {"status": "UNAVAILABLE", "message": "overloaded"}, "overloaded", None),
        (504, {"status": "DEADLINE_EXCEEDED", "message": "late"}, "timeout", None),
    ],
)
async def test_errors_find_their_kind(
    provider: Gemini,
    server: tuple[FakeGemini, str],
    ask: Ask,
    soon: float,
    status: int,
    error: dict[str, object],
    kind: str,
    pause: float | None,
) -> None:
    server[0].fail_next(status, {"error": {"code": status, **error}})
    with pytest.raises(ProviderError) as caught:
        await provider.complete(ask("x", FLASH), soon)
    assert (caught.value.kind, caught.value.retry_after) == (kind, pause)


def chunk(**fields: object) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\r\n\r\n"


WORD = chunk(candidates=[{"content": {"parts": [{"text": "hi"}]}}])


@pytest.mark.parametrize(
    ("chunks", "kind"),
    [
        ([WORD], "transport"),
        ([WORD, chunk(error={"code": 503, "status": "UNAVAILABLE", "message": "x"})], "overloaded"),
        ([WORD, chunk(candidates=[{"finishReason": "MALFORMED_FUNCTION_CALL"}])], "internal"),
        ([chunk(promptFeedback={"blockReason": "SAFETY"})], "content_filtered"),
        ([WORD, b"data: [broken\r\n\r\n"], "transport"),
    ],
)
async def test_a_stream_that_does_not_end_well_is_an_error(
    provider: Gemini, server: tuple[FakeGemini, str], ask: Ask, soon: float, chunks: list[bytes], kind: str
) -> None:
    server[0].stream_next(chunks)
    with pytest.raises(ProviderError) as caught:
        async for _ in provider.stream(ask("x", FLASH), soon):
            pass
    assert caught.value.kind == kind


async def test_a_model_name_cannot_leave_its_place_in_the_path(
    provider: Gemini, ask: Ask, soon: float
) -> None:
    with pytest.raises(ProviderError) as caught:
        await provider.complete(ask("x", "../../v1/evil?x=1 HTTP/1.1\r\nx: y"), soon)
    assert caught.value.kind == "not_found"
    sent = provider._head("../../v1/evil?x=1 HTTP/1.1\r\nx: y", "generateContent").split(b"\r\n")[0]
    assert sent.startswith(b"POST /v1beta/models/..%2F..%2Fv1%2Fevil%3Fx")
    assert sent.endswith(b":generateContent HTTP/1.1")


async def test_the_check_is_a_list_of_models(provider: Gemini, soon: float) -> None:
    await provider.check(soon)


def test_the_fake_is_one_that_the_official_client_believes(server: tuple[FakeGemini, str]) -> None:
    client = genai.Client(
        api_key=KEY, http_options=types.HttpOptions(base_url=server[1], api_version="v1beta")
    )
    whole = client.models.generate_content(model=FLASH, contents="hi you")
    assert whole.text == "hi you" and whole.usage_metadata is not None
    streamed = client.models.generate_content_stream(model=FLASH, contents="hi you")
    assert "".join(piece.text or "" for piece in streamed) == "hi you"
