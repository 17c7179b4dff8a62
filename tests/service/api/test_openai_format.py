"""OpenAI's chat format, both ways, against the official SDK's own types."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from service.api import openai_answer as answer
from service.api import openai_request as wire
from service.api.decode import decode
from service.api.errors import ApiError
from service.providers.base import (
    CanonicalRequest,
    CanonicalResponse,
    Image,
    StreamEnd,
    Text,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    ToolResult,
    Usage,
)


def parse(**body: Any) -> CanonicalRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **body}
    return wire.parse(decode(wire.DECODER, json.dumps(body).encode()))


def refused(**body: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parse(**body)
    assert caught.value.status == 400
    return caught.value


def test_a_conversation_with_tools_and_images_is_understood() -> None:
    request = parse(
        messages=[
            {"role": "developer", "content": "be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "what is this?"},
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"},
                    },
                    {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        ],
        tools=[{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
        tool_choice={"type": "function", "function": {"name": "look"}},
        stop=["END"],
        max_completion_tokens=7,
    )
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "user"]
    assert request.messages[1].parts[1] == Image(data="AAAA", media_type="image/png", detail="low")
    assert request.messages[1].parts[2] == Image(url="https://example.com/cat.png")
    assert request.messages[2].parts == (ToolCall("c1", "look", '{"a": 1}'),)
    assert request.messages[3].parts == (ToolResult("c1", (Text("a cat"),)),)
    assert request.tool_choice is not None and request.tool_choice.name == "look"
    assert (request.stop, request.max_tokens) == (("END",), 7)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": ""}, "model"),
        ({"messages": "x"}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content[0].type"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"n": 17}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"stream": "yes"}, "stream"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ],
)
def test_what_does_not_fit_is_named(body: dict[str, Any], param: str) -> None:
    assert refused(**body).param == param


def test_a_whole_answer_is_what_the_sdk_expects() -> None:
    response = CanonicalResponse(
        id="up",
        model="m-1",
        parts=(Text("hi"), ToolCall("c1", "look", "{}")),
        finish="tool_calls",
        usage=Usage(10, 5, cache_read_tokens=4, reasoning_tokens=2),
    )
    parsed = ChatCompletion.model_validate_json(answer.render(response, "chatcmpl-1", 1), strict=True)
    assert parsed.choices[0].finish_reason == "tool_calls"
    assert parsed.choices[0].message.tool_calls is not None
    assert parsed.usage is not None
    assert parsed.usage.prompt_tokens_details is not None
    assert parsed.usage.prompt_tokens_details.cached_tokens == 4


def test_an_answer_of_tool_calls_alone_has_null_content() -> None:
    response = CanonicalResponse(
        id="up", model="m", parts=(ToolCall("c", "f", "{}"),), finish="tool_calls", usage=Usage()
    )
    assert json.loads(answer.render(response, "i", 1))["choices"][0]["message"]["content"] is None


@pytest.mark.parametrize("include_usage", [False, True])
def test_every_streamed_event_is_what_the_sdk_expects(include_usage: bool) -> None:
    renderer = answer.StreamRenderer("chatcmpl-1", 1, "m", include_usage=include_usage)
    events = [
        TextDelta('quotes " and \n lines \u2028'),
        ThinkingDelta("hm"),
        ToolCallStart(0, "c1", "look"),
        ToolCallDelta(0, '{"a":'),
        StreamEnd("tool_calls", Usage(3, 4)),
    ]
    data = renderer.first() + b"".join(renderer.event(event) for event in events)
    lines = [line for line in data.decode().split("\n") if line]
    chunks = [
        ChatCompletionChunk.model_validate_json(line.removeprefix("data: "), strict=True) for line in lines
    ]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[1].choices[0].delta.content == 'quotes " and \n lines \u2028'
    assert chunks[3].choices[0].delta.tool_calls is not None
    ends = [chunk for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    assert [end.choices[0].finish_reason for end in ends] == ["tool_calls"]
    assert (chunks[-1].usage is not None) == include_usage
