"""Anthropic's Messages API as a provider."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

import msgspec

from service.providers import anthropic_reply as reply
from service.providers import anthropic_wire as wire
from service.providers.base import (
    CanonicalRequest,
    CanonicalResponse,
    EmbeddingRequest,
    EmbeddingResponse,
    ErrorKind,
    FinishReason,
    ProviderError,
    StreamEnd,
    StreamEvent,
    StreamStart,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
)
from service.providers.config import ProviderConfig
from service.providers.http_client import USER_AGENT, HttpUpstream, kind_of_status, text_of

BASE_URL: Final = "https://api.anthropic.com/v1"
VERSION: Final = "2023-06-01"

KIND_OF_TYPE: Final[dict[str, ErrorKind]] = {
    "authentication_error": "auth",
    "permission_error": "auth",
    "billing_error": "quota",
    "not_found_error": "not_found",
    "request_too_large": "bad_request",
    "rate_limit_error": "rate_limited",
    "timeout_error": "timeout",
    "api_error": "internal",
    "overloaded_error": "overloaded",
}
# invalid_request_error says in words what it is about.
KIND_OF_WORDS: Final[dict[str, ErrorKind]] = {
    "prompt is too long": "context_too_long",
    "exceed context limit": "context_too_long",
    "context window": "context_too_long",
    "credit balance is too low": "quota",
    "content filtering policy": "content_filtered",
}


def classify(status: int, headers: dict[bytes, bytes], body: bytes) -> ProviderError:
    """What an error answer means."""
    try:
        parsed: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        parsed = None
    return from_object(parsed.get("error") if isinstance(parsed, dict) else None, status)


def from_object(error: Any, status: int) -> ProviderError:
    """From the `error` of a body or of an event in a stream."""
    fields = error if isinstance(error, dict) else {}
    message = text_of(fields.get("message")) or f"the provider answered HTTP {status}"
    kind = KIND_OF_TYPE.get(text_of(fields.get("type"))) or kind_of_status(status)
    if kind in ("bad_request", "content_filtered"):
        lowered = message.lower()
        kind = next((found for words, found in KIND_OF_WORDS.items() if words in lowered), kind)
    return ProviderError(kind, message, status=status)


class Anthropic:
    """Implements `Provider`."""

    kind = "anthropic"

    def __init__(self, config: ProviderConfig) -> None:
        self.name = config.name
        self.models = config.models
        key = config.key()
        self._upstream = HttpUpstream(config, BASE_URL, classify, key)
        headers = {
            "user-agent": USER_AGENT,
            "content-type": "application/json",
            "anthropic-version": VERSION,
            "x-api-key": key,
        }
        self._messages = self._upstream.client.head("POST", "/messages", headers)
        self._list = self._upstream.client.head("GET", "/models?limit=1", headers)

    async def complete(self, request: CanonicalRequest, deadline: float) -> CanonicalResponse:
        body = msgspec.json.encode(wire.render(request, stream=False))
        raw = await self._upstream.request(self._messages, body, deadline)
        try:
            message = reply.MESSAGE.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._upstream.unreadable() from None
        if message.stop_reason is None or message.usage is None:
            raise self._upstream.unreadable()
        return CanonicalResponse(
            id=message.id,
            model=message.model or request.model,
            parts=reply.parts(message.content),
            finish=reply.FINISH.get(message.stop_reason, "stop"),
            usage=reply.usage(message.usage),
            stop_sequence=message.stop_sequence,
        )

    async def stream(self, request: CanonicalRequest, deadline: float) -> AsyncGenerator[StreamEvent, None]:
        body = msgspec.json.encode(wire.render(request, stream=True))
        source = await self._upstream.stream(self._messages, body, deadline)
        state = _StreamState(request.model)
        try:
            while not state.stopped and (batch := await source.batch()) is not None:
                for _, data in batch:
                    try:
                        event = reply.EVENT.decode(data)
                        translated = state.event(event)
                    except (msgspec.DecodeError, UnicodeDecodeError):
                        raise self._upstream.unreadable() from None
                    if event.type == "error":
                        raise self._upstream.tell(from_object(event.error, 200))
                    if translated is not None:
                        yield translated
                source.seen_token = state.seen_token
        finally:
            source.close(whole=state.stopped)
        if not state.stopped:
            raise self._upstream.cut()
        yield state.end()

    async def embed(self, request: EmbeddingRequest, deadline: float) -> EmbeddingResponse:
        raise ProviderError("not_found", "Anthropic has no embeddings", provider=self.name)

    async def check(self, deadline: float) -> None:
        await self._upstream.request(self._list, b"", deadline)

    async def close(self) -> None:
        await self._upstream.close()


class _StreamState:
    """Turns their events into ours and remembers what the end needs."""

    __slots__ = ("_bare", "_calls", "_finish", "_first", "_last", "_model", "_stop", "seen_token", "stopped")

    def __init__(self, model: str) -> None:
        self._model = model
        self._calls: dict[int, int] = {}  # their block -> our tool call
        self._bare: dict[int, Any] = {}  # their block -> input it began with, while no other came
        self._first: reply.WireUsage | None = None
        self._last: reply.WireUsage | None = None
        self._finish: FinishReason = "stop"
        self._stop: str | None = None
        self.seen_token = False
        self.stopped = False

    def event(self, event: reply.WireEvent) -> StreamEvent | None:
        if event.type == "content_block_delta":
            self.seen_token = True
            return self._delta(event.index, reply.BLOCK.decode(event.delta))
        if event.type == "content_block_start" and event.content_block is not None:
            return self._block(event.index, event.content_block)
        if event.type == "message_start" and event.message is not None:
            message = event.message
            self._first = message.usage
            return StreamStart(
                message.id, message.model or self._model, reply.usage(message.usage).input_tokens
            )
        if event.type == "message_delta":
            delta = reply.DELTA.decode(event.delta)
            self._last = event.usage
            self._finish = reply.FINISH.get(delta.stop_reason or "", "stop")
            self._stop = delta.stop_sequence
        elif event.type == "content_block_stop" and event.index in self._bare:
            arguments = msgspec.json.encode(self._bare.pop(event.index) or {}).decode()
            return ToolCallDelta(self._calls[event.index], arguments)
        elif event.type == "message_stop":
            self.stopped = True
        return None

    def end(self) -> StreamEnd:
        return StreamEnd(self._finish, reply.usage(self._first, self._last), self._stop)

    def _block(self, index: int, block: reply.WireBlock) -> StreamEvent | None:
        if block.type == "tool_use":
            self._calls[index] = call = len(self._calls)
            self._bare[index] = block.input
            return ToolCallStart(call, block.id, block.name)
        if block.type == "redacted_thinking":
            return ThinkingDelta(redacted=block.data)
        return TextDelta(block.text) if block.type == "text" and block.text else None

    def _delta(self, index: int, delta: reply.WireBlock) -> StreamEvent | None:
        if delta.type == "text_delta":
            return TextDelta(delta.text)
        if delta.type == "input_json_delta":
            call = self._calls.get(index)
            if call is None or not delta.partial_json:
                return None
            self._bare.pop(index, None)
            return ToolCallDelta(call, delta.partial_json)
        if delta.type == "thinking_delta":
            return ThinkingDelta(delta.thinking)
        if delta.type == "signature_delta":
            return ThinkingDelta(signature=delta.signature)
        return None
