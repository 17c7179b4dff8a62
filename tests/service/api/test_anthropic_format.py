"""Anthropic's format is right when the official client writes what we read and reads what we write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import httpx2 as httpx
import msgspec
import pytest

from service.api import anthropic_answer as answer
from service.api import anthropic_messages as wire
from service.api.decode import decode
from service.api.errors import ApiError
from service.providers.base import (
    CanonicalRequest,
    CanonicalResponse,
    Image,
    Message,
    ResponseFormat,
    StreamEnd,
    StreamEvent,
    StreamStart,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    ToolChoice,
    ToolResult,
    Usage,
)

USED = Usage(100, 20, cache_read_tokens=30, cache_write_tokens=10, cache_write_1h_tokens=4)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def client(handler: Callable[[httpx.Request], httpx.Response]) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        api_key="k", max_retries=0, http_client=httpx.Client(transport=httpx.MockTransport(handler))
    )


def sent(**fields: Any) -> CanonicalRequest:
    """What we understand of what the official client sends."""
    seen: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.content)
        body = answer.render(
            CanonicalResponse(id="x", model="m", parts=(Text("ok"),), finish="stop", usage=USED), "msg_1"
        )
        return httpx.Response(200, content=body, headers={"content-type": "application/json"})

    client(handler).messages.create(**{"model": "m", "max_tokens": 4000, **fields})
    return wire.parse(decode(wire.DECODER, seen[0]))


def test_a_conversation_with_everything_in_it() -> None:
    request = sent(
        system=[{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        messages=[
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "sig"},
                    {"type": "redacted_thinking", "data": "xx"},
                    {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "rain", "is_error": True},
                    {"type": "image", "source": {"type": "url", "url": "https://e.org/a.png"}},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
                    },
                    {"type": "text", "text": "and?"},
                ],
            },
        ],
        tools=[{"name": "weather", "description": "of a city", "input_schema": SCHEMA}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        stop_sequences=["END"],
        thinking={"type": "enabled", "budget_tokens": 2000},
        output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
        metadata={"user_id": "u1"},
        extra_body={"temperature": 0.5},
    )
    assert request.messages == (
        Message("system", (Text("be brief", "1h"),)),
        Message("user", (Text("hi"),)),
        Message(
            "assistant",
            (
                Thinking("hm", "sig"),
                Thinking(redacted="xx"),
                ToolCall("t1", "weather", '{"city":"Oslo"}'),
            ),
        ),
        Message(
            "user",
            (
                ToolResult("t1", (Text("rain"),), is_error=True),
                Image(url="https://e.org/a.png"),
                Image(data="aGk=", media_type="image/png"),
                Text("and?"),
            ),
        ),
    )
    assert request.tools == (Tool("weather", "of a city", SCHEMA),)
    assert (request.tool_choice, request.parallel_tool_calls) == (ToolChoice("required"), False)
    assert request.response_format == ResponseFormat("json_schema", schema=SCHEMA)
    assert (request.max_tokens, request.temperature, request.thinking_budget) == (4000, 0.5, 2000)
    assert (request.stop, request.user) == (("END",), "u1")


def read_whole(response: CanonicalResponse) -> anthropic.types.Message:
    raw = answer.render(response, "msg_1")

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=raw, headers={"content-type": "application/json"})

    return client(handler).messages.create(
        model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}]
    )


def read_stream(events: list[StreamEvent], tail: bytes = b"") -> anthropic.types.Message:
    renderer = answer.StreamRenderer("msg_1", "m")
    raw = b"".join(renderer.event(event) for event in events) + tail

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=raw, headers={"content-type": "text/event-stream"})

    with client(handler).messages.stream(
        model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}]
    ) as stream:
        return stream.get_final_message()


PARTS = (Thinking("hm", "sig"), Text("It rains."), ToolCall("t1", "weather", '{"city": "Oslo"}'))
EVENTS: list[StreamEvent] = [
    StreamStart("id", "m", 100),
    ThinkingDelta("h"),
    ThinkingDelta("m"),
    ThinkingDelta(signature="sig"),
    TextDelta("It "),
    TextDelta("rains."),
    ToolCallStart(0, "t1", "weather"),
    ToolCallDelta(0, '{"city"'),
    ToolCallDelta(0, ': "Oslo"}'),
    StreamEnd("tool_calls", USED),
]


@pytest.mark.parametrize("streamed", [False, True])
def test_the_official_client_reads_the_same_from_a_whole_and_a_streamed_answer(streamed: bool) -> None:
    whole = CanonicalResponse(id="x", model="m", parts=PARTS, finish="tool_calls", usage=USED)
    message = read_stream(EVENTS) if streamed else read_whole(whole)
    thinking, text, call = message.content
    assert thinking.type == "thinking" and (thinking.thinking, thinking.signature) == ("hm", "sig")
    assert text.type == "text" and text.text == "It rains."
    assert call.type == "tool_use" and (call.id, call.name, call.input) == ("t1", "weather", {"city": "Oslo"})
    assert message.stop_reason == "tool_use"
    used = message.usage
    assert (used.input_tokens, used.output_tokens) == (60, 20)
    assert (used.cache_read_input_tokens, used.cache_creation_input_tokens) == (30, 10)


def test_parallel_tool_calls_become_blocks_of_their_own() -> None:
    message = read_stream(
        [
            StreamStart("id", "m"),
            ToolCallStart(0, "a", "f"),
            ToolCallDelta(0, "{}"),
            ToolCallStart(1, "b", "g"),
            ToolCallDelta(1, '{"x": 1}'),
            StreamEnd("tool_calls", USED),
        ]
    )
    assert [(block.id, block.input) for block in message.content] == [("a", {}), ("b", {"x": 1})]  # type: ignore[union-attr]


def test_tool_calls_whose_pieces_mix_stay_apart() -> None:
    message = read_stream(
        [
            StreamStart("id", "m"),
            ToolCallStart(0, "a", "f"),
            ToolCallStart(1, "b", "g"),
            ToolCallDelta(0, '{"y": 2}'),
            ToolCallDelta(1, '{"x": 1}'),
            StreamEnd("tool_calls", USED),
        ]
    )
    assert [(block.id, block.input) for block in message.content] == [("a", {"y": 2}), ("b", {"x": 1})]  # type: ignore[union-attr]


def test_a_stop_sequence_is_named() -> None:
    message = read_stream([StreamStart("i", "m"), TextDelta("a"), StreamEnd("stop_sequence", USED, "END")])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")


def test_a_cut_stream_is_an_error_for_the_official_client() -> None:
    tail = answer.error_event(ApiError(502, "cut"), "req_1")
    with pytest.raises(anthropic.APIStatusError, match="cut"):
        read_stream(EVENTS[:-1], tail)


@pytest.mark.parametrize(
    ("status", "kind"), [(401, "authentication_error"), (429, "rate_limit_error"), (503, "overloaded_error")]
)
def test_errors_are_what_the_official_client_expects(status: int, kind: str) -> None:
    raw = answer.error(ApiError(status, "no"), "req_1")

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=raw, headers={"content-type": "application/json"})

    with pytest.raises(anthropic.APIStatusError) as caught:
        client(handler).messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}])
    assert caught.value.body["error"]["type"] == kind  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]}
                ]
            },
            "messages[0].content[0]",
        ),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5000}}, "thinking.budget_tokens"),
        ({"temperature": 1.5}, "temperature"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], param: str) -> None:
    body = {"model": "m", "max_tokens": 4000, "messages": [{"role": "user", "content": "x"}], **change}
    with pytest.raises(ApiError) as caught:
        wire.parse(decode(wire.DECODER, msgspec.json.encode(body)))
    assert (caught.value.status, caught.value.param) == (400, param)


def test_arguments_that_are_no_object_still_reach_the_client() -> None:
    parts = (ToolCall("1", "f", "not json"),)
    message = read_whole(
        CanonicalResponse(id="x", model="m", parts=parts, finish="tool_calls", usage=Usage())
    )
    assert message.content[0].input == {"arguments": "not json"}  # type: ignore[union-attr]
