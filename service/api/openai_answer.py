"""OpenAI's chat completions: our answer and events into theirs. Pure functions.

Format: https://platform.openai.com/docs/api-reference/chat (checked against the official SDK's types).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from msgspec import UNSET, Struct, UnsetType

from service.api.choices import ChoiceEvent, add
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


class PromptDetails(Struct):
    cached_tokens: int


class CompletionDetails(Struct):
    reasoning_tokens: int


class UsageOut(Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class Completion(Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[Choice]
    usage: UsageOut


# OpenAI's format does not tell a stop string from the model's own end.
FINISH: Final[dict[FinishReason, str]] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
}


def usage(used: Usage) -> UsageOut:
    return UsageOut(
        used.input_tokens,
        used.output_tokens,
        used.input_tokens + used.output_tokens,
        PromptDetails(used.cache_read_tokens),
        CompletionDetails(used.reasoning_tokens),
    )


def render(answer: CanonicalResponse, completion_id: str, created: int) -> bytes:
    """The whole answer as the body of a response."""
    choices, used = [_choice(0, answer)], usage(answer.usage)
    return encode(Completion(completion_id, "chat.completion", created, answer.model, choices, used))


def render_several(answers: list[CanonicalResponse], completion_id: str, created: int) -> bytes:
    """Several answers as the choices of one response, in order."""
    choices = [_choice(index, one) for index, one in enumerate(answers)]
    model, used = answers[0].model, usage(add([one.usage for one in answers]))
    return encode(Completion(completion_id, "chat.completion", created, model, choices, used))


def _choice(index: int, answer: CanonicalResponse) -> Choice:
    parts = answer.parts
    if len(parts) == 1 and type(parts[0]) is Text:
        return Choice(index, MessageOut("assistant", parts[0].text, None), None, FINISH[answer.finish])
    text: list[str] = []
    thinking: list[str] = []
    calls: list[ToolCallOut] = []
    for part in parts:
        if type(part) is Text:
            text.append(part.text)
        elif type(part) is ToolCall:
            calls.append(ToolCallOut(part.id, "function", FunctionOut(part.name, part.arguments)))
        elif type(part) is Thinking:
            thinking.append(part.text)
    message = MessageOut("assistant", "".join(text) if text or not calls else None, None)
    if calls:
        message.tool_calls = calls
    if thinking and any(thinking):
        message.reasoning_content = "".join(thinking)
    return Choice(index, message, None, FINISH[answer.finish])


DONE: Final = b"data: [DONE]\n\n"


class StreamRenderer:
    """Events of one stream as server-sent events; everything that repeats is rendered once."""

    __slots__ = ("_head", "_include_usage", "_opening", "_tail", "_text")

    def __init__(
        self, completion_id: str, created: int, model: str, *, include_usage: bool, index: int = 0
    ) -> None:
        self._head = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,' % (
            encode(completion_id),
            created,
            encode(model),
        )
        null_usage = b',"usage":null' if include_usage else b""
        self._opening = self._head + b'"choices":[{"index":%d,"delta":{' % index
        self._text = self._opening + b'"content":'
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
            return self.end(event) + self.used(event.usage)
        return b""

    def end(self, end: StreamEnd) -> bytes:
        null_usage = b',"usage":null' if self._include_usage else b""
        reason = encode(FINISH[end.finish])
        return self._opening + b'},"logprobs":null,"finish_reason":%b}]%b}\n\n' % (reason, null_usage)

    def used(self, used: Usage) -> bytes:
        """The chunk after the last one; empty unless it was asked for."""
        if not self._include_usage:
            return b""
        return self._head + b'"choices":[],"usage":' + encode(usage(used)) + b"}\n\n"

    def _delta(self, fields: bytes) -> bytes:
        return self._opening + fields + self._tail


class OneChoice(Protocol):
    """What renders the events of one choice."""

    def first(self) -> bytes: ...

    def event(self, event: StreamEvent) -> bytes: ...

    def end(self, end: StreamEnd) -> bytes: ...

    def used(self, used: Usage) -> bytes: ...


class SeveralRenderer:
    """Events of several choices as one stream; what they used together stands after the last end."""

    def __init__(self, choices: Sequence[OneChoice]) -> None:
        self._choices = choices
        self._used: list[Usage] = []

    def first(self) -> bytes:
        return b"".join([one.first() for one in self._choices])

    def event(self, event: ChoiceEvent) -> bytes:
        index, inner = event
        one = self._choices[index]
        if type(inner) is not StreamEnd:
            return one.event(inner)
        self._used.append(inner.usage)
        last = len(self._used) == len(self._choices)
        return one.end(inner) + (one.used(add(self._used)) if last else b"")
