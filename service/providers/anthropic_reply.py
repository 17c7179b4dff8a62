"""Anthropic's Messages format, from our side of the wire: answers and stream events in. Pure functions.

Format: https://platform.claude.com/docs/en/api/messages and …/build-with-claude/streaming, 2026-11.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from service.providers.base import FinishReason, Text, Thinking, ToolCall, Usage


class WireCacheCreation(Struct):
    ephemeral_1h_input_tokens: int | None = None


class WireOutputDetails(Struct):
    thinking_tokens: int | None = None


class WireUsage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: WireCacheCreation | None = None
    output_tokens_details: WireOutputDetails | None = None


class WireBlock(Struct):
    """A content block of any type, or the delta of one."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: Any = None
    partial_json: str = ""


class WireMessage(Struct):
    id: str = ""
    model: str = ""
    content: list[WireBlock] = []
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: WireUsage | None = None


class WireEvent(Struct):
    """Any event of a stream; its `delta` is decoded by type."""

    type: str
    message: WireMessage | None = None
    index: int = 0
    content_block: WireBlock | None = None
    delta: msgspec.Raw = msgspec.Raw()
    usage: WireUsage | None = None
    error: Any = None


class WireDelta(Struct):
    stop_reason: str | None = None
    stop_sequence: str | None = None


MESSAGE: Final = msgspec.json.Decoder(WireMessage)
EVENT: Final = msgspec.json.Decoder(WireEvent)
BLOCK: Final = msgspec.json.Decoder(WireBlock)
DELTA: Final = msgspec.json.Decoder(WireDelta)

FINISH: Final[dict[str, FinishReason]] = {
    "end_turn": "stop",
    "pause_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def usage(first: WireUsage | None, last: WireUsage | None = None) -> Usage:
    """Ours from theirs; in a stream the last counts hold where they are given, the first elsewhere."""

    def count(field: str) -> int:
        for told in (last, first):
            value = getattr(told, field) if told is not None else None
            if value is not None:
                return int(value)
        return 0

    read, write = count("cache_read_input_tokens"), count("cache_creation_input_tokens")
    creation = first.cache_creation if first is not None else None
    details = next((one.output_tokens_details for one in (last, first) if one is not None), None)
    return Usage(
        count("input_tokens") + read + write,
        count("output_tokens"),
        read,
        write,
        (details.thinking_tokens or 0) if details is not None else 0,
        min(write, (creation.ephemeral_1h_input_tokens or 0) if creation is not None else 0),
    )


def parts(content: list[WireBlock]) -> tuple[Text | ToolCall | Thinking, ...]:
    """The blocks we know; others (server tools) have no place in our language."""
    out: list[Text | ToolCall | Thinking] = []
    for item in content:
        if item.type == "text":
            out.append(Text(item.text))
        elif item.type == "tool_use":
            out.append(ToolCall(item.id, item.name, msgspec.json.encode(item.input or {}).decode()))
        elif item.type == "thinking":
            out.append(Thinking(item.thinking, item.signature))
        elif item.type == "redacted_thinking":
            out.append(Thinking(redacted=item.data))
    return tuple(out)
