"""OpenAI's chat completions: our answer and events into theirs. Pure functions.

Format: https://platform.openai.com/docs/api-reference/chat (checked against the official SDK's types).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from service.providers.base import (
    CanonicalResponse,
    FinishReason,
    StreamEnd,
    StreamEvent,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)

encode = msgspec.json.encode


class FunctionOut(Struct):
    name: str
    arguments: str


class ToolCallOut(Struct):
    id: str
    type: str
    function: FunctionOut


class MessageOut(Struct, omit_defaults=True):
    role: str
    content: str | None
    refusal: str | UnsetType | None = UNSET
    tool_calls: list[ToolCallOut] | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET


class Choice(Struct):
    index: int
    message: MessageOut
    logprobs: None
    finish_reason: str


class Completion(Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[Choice]
    usage: dict[str, Any]


# OpenAI's format does not tell a stop string from the model's own end.
FINISH: Final[dict[FinishReason, str]] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
}


def usage(used: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.input_tokens + used.output_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cache_read_tokens},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
    }


def render(answer: CanonicalResponse, completion_id: str, created: int) -> bytes:
    """The whole answer as the body of a response."""
    text: list[str] = []
    thinking: list[str] = []
    calls: list[ToolCallOut] = []
    for part in answer.parts:
        if type(part) is Text:
            text.append(part.text)
        elif type(part) is ToolCall:
            calls.append(ToolCallOut(part.id, "function", FunctionOut(part.name, part.arguments)))
        elif type(part) is Thinking:
            thinking.append(part.text)
    message = MessageOut("assistant", "".join(text) if text or not calls else None, None)
    if calls:
        message.tool_calls = calls
    if any(thinking):
        message.reasoning_content = "".join(thinking)
    return encode(
        Completion(
            completion_id,
            "chat.completion",
            created,
            answer.model,
            [Choice(0, message, None, FINISH[answer.finish])],
            usage(answer.usage),
        )
    )


DONE: Final = b"data: [DONE]\n\n"


class StreamRenderer:
    """Events of one stream as server-sent events; everything that repeats is rendered once."""

    __slots__ = ("_head", "_include_usage", "_tail", "_text")

    def __init__(self, completion_id: str, created: int, model: str, *, include_usage: bool) -> None:
        self._head = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,' % (
            encode(completion_id),
            created,
            encode(model),
        )
        null_usage = b',"usage":null' if include_usage else b""
        self._text = self._head + b'"choices":[{"index":0,"delta":{"content":'
        self._tail = b'},"logprobs":null,"finish_reason":null}]' + null_usage + b"}\n\n"
        self._include_usage = include_usage

    def first(self) -> bytes:
        return self._delta(b'"role":"assistant","content":"","refusal":null')

    def event(self, event: StreamEvent) -> bytes:
        """Bytes of one event; empty when the format has no place for it."""
        if type(event) is TextDelta:
            return self._text + encode(event.text) + self._tail
        if type(event) is ToolCallStart:
            call = (
                b'"tool_calls":[{"index":%d,"id":%b,"type":"function","function":{"name":%b,"arguments":""}}]'
            )
            return self._delta(call % (event.index, encode(event.id), encode(event.name)))
        if type(event) is ToolCallDelta:
            call = b'"tool_calls":[{"index":%d,"function":{"arguments":%b}}]'
            return self._delta(call % (event.index, encode(event.arguments)))
        if type(event) is ThinkingDelta:
            return self._delta(b'"reasoning_content":' + encode(event.text)) if event.text else b""
        if type(event) is StreamEnd:
            return self._end(event)
        return b""

    def _delta(self, fields: bytes) -> bytes:
        return self._head + b'"choices":[{"index":0,"delta":{' + fields + self._tail

    def _end(self, end: StreamEnd) -> bytes:
        null_usage = b',"usage":null' if self._include_usage else b""
        last = (
            self._head
            + b'"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":%b}]%b}\n\n'
            % (
                encode(FINISH[end.finish]),
                null_usage,
            )
        )
        if self._include_usage:
            last += self._head + b'"choices":[],"usage":' + encode(usage(end.usage)) + b"}\n\n"
        return last
