"""Anthropic's Messages API: our answer, events and errors into theirs. Pure functions.

Format: https://platform.claude.com/docs/en/api/messages and …/build-with-claude/streaming.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from service.api.errors import ApiError
from service.providers.base import (
    CanonicalResponse,
    FinishReason,
    StreamEnd,
    StreamEvent,
    StreamStart,
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

STOP_REASON: Final[dict[FinishReason, str]] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}

ERROR_TYPE: Final[dict[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def usage(used: Usage) -> dict[str, Any]:
    """Anthropic counts cached tokens apart; ours includes them."""
    read, write, hour = used.cache_read_tokens, used.cache_write_tokens, used.cache_write_1h_tokens
    return {
        "input_tokens": max(0, used.input_tokens - read - write),
        "cache_creation_input_tokens": write,
        "cache_read_input_tokens": read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": write - hour,
            "ephemeral_1h_input_tokens": hour,
        },
        "output_tokens": used.output_tokens,
    }


def render(answer: CanonicalResponse, message_id: str) -> bytes:
    """The whole answer as the body of a response."""
    return encode(
        {
            "id": message_id,
            "type": "message",
            "role": "assistant",
            "model": answer.model,
            "content": [_block(part) for part in answer.parts],
            "stop_reason": STOP_REASON[answer.finish],
            "stop_sequence": answer.stop_sequence,
            "usage": usage(answer.usage),
        }
    )


def error(failure: ApiError, request_id: str) -> bytes:
    """The body of an error, also the data of an `error` event in a stream."""
    kind = ERROR_TYPE.get(failure.status, "api_error")
    detail = {
        "type": kind,
        "message": failure.message,
        "param": failure.param,
        "retry_after": failure.retry_after,
    }
    return encode({"type": "error", "error": detail, "request_id": request_id})


def error_event(failure: ApiError, request_id: str) -> bytes:
    """A broken stream ends with this and without `message_stop`, so that nobody takes it for whole."""
    return b"event: error\ndata: " + error(failure, request_id) + b"\n\n"


def _block(part: Text | ToolCall | Thinking) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, ToolCall):
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": _arguments(part.arguments)}
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.redacted}
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _arguments(text: str) -> dict[str, Any]:
    """Anthropic's clients expect an object; a model may have written something else."""
    try:
        value = msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        return {"arguments": text}
    return value if isinstance(value, dict) else {"arguments": value}


class StreamRenderer:
    """Our events as Anthropic's: numbered content blocks, each opened and closed."""

    __slots__ = ("_block", "_calls", "_id", "_kind", "_model", "_next", "_text_head")

    def __init__(self, message_id: str, model: str) -> None:
        self._id = message_id
        self._model = model
        self._next = 0  # number of the next block
        self._block = -1
        self._kind = ""  # of the open block: "text", "thinking", "tool_use" or none
        self._calls: dict[int, int] = {}  # tool call -> block
        self._text_head = b""

    def event(self, event: StreamEvent) -> bytes:
        """Bytes of one event; the first must be `StreamStart`."""
        kind = type(event)
        if kind is TextDelta:
            opened = b"" if self._kind == "text" else self._open("text", b'{"type":"text","text":""}')
            return opened + self._text_head + encode(event.text) + b"}}\n\n"  # type: ignore[union-attr]
        if isinstance(event, ToolCallDelta):
            return _event(
                b"content_block_delta",
                b'"index":%d,"delta":{"type":"input_json_delta","partial_json":%b}'
                % (self._calls.get(event.index, self._block), encode(event.arguments)),
            )
        if isinstance(event, ToolCallStart):
            content = b'{"type":"tool_use","id":%b,"name":%b,"input":{}}'
            opened = self._open("tool_use", content % (encode(event.id), encode(event.name)))
            self._calls[event.index] = self._block
            return opened
        if isinstance(event, ThinkingDelta):
            return self._thinking(event)
        if isinstance(event, StreamStart):
            return self._start(event)
        assert isinstance(event, StreamEnd)
        return self._end(event)

    def _start(self, event: StreamStart) -> bytes:
        message: dict[str, Any] = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": event.input_tokens, "output_tokens": 0},
        }
        return _event(b"message_start", b'"message":' + encode(message))

    def _thinking(self, event: ThinkingDelta) -> bytes:
        if event.redacted:
            content = b'{"type":"redacted_thinking","data":%b}' % encode(event.redacted)
            return self._open("redacted_thinking", content) + self._close()
        out = b""
        if self._kind != "thinking":
            out = self._open("thinking", b'{"type":"thinking","thinking":"","signature":""}')
        head = b'"index":%d,"delta":' % self._block
        if event.text:
            delta = b'{"type":"thinking_delta","thinking":%b}' % encode(event.text)
            out += _event(b"content_block_delta", head + delta)
        if event.signature:
            delta = b'{"type":"signature_delta","signature":%b}' % encode(event.signature)
            out += _event(b"content_block_delta", head + delta) + self._close()
        return out

    def _end(self, end: StreamEnd) -> bytes:
        delta = {"stop_reason": STOP_REASON[end.finish], "stop_sequence": end.stop_sequence}
        used = usage(end.usage)
        del used["cache_creation"]  # message_delta has only the sums
        fields = b'"delta":%b,"usage":%b' % (encode(delta), encode(used))
        return self._close() + _event(b"message_delta", fields) + STOP

    def _open(self, kind: str, content: bytes) -> bytes:
        closed = self._close()
        self._block, self._kind = self._next, kind
        self._next += 1
        if kind == "text":
            self._text_head = (
                b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
                b'"delta":{"type":"text_delta","text":' % self._block
            )
        return closed + _event(
            b"content_block_start", b'"index":%d,"content_block":%b' % (self._block, content)
        )

    def _close(self) -> bytes:
        if not self._kind:
            return b""
        self._kind = ""
        return _event(b"content_block_stop", b'"index":%d' % self._block)


def _event(name: bytes, fields: bytes) -> bytes:
    return b'event: %b\ndata: {"type":"%b",%b}\n\n' % (name, name, fields)


STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
