"""Google's Gemini API as a provider."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from typing import Any, Final
from urllib.parse import quote

import msgspec

from service.providers import gemini_wire as wire
from service.providers.base import (
    JSON,
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
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from service.providers.config import ProviderConfig
from service.providers.http_client import USER_AGENT, HttpUpstream, kind_of_status, text_of
from service.providers.tokens import estimate_request, estimate_text

BASE_URL: Final = "https://generativelanguage.googleapis.com/v1beta"

# google.rpc.Code, as the `status` of an error body
KIND_OF_STATUS: Final[dict[str, ErrorKind]] = {
    "UNAUTHENTICATED": "auth",
    "PERMISSION_DENIED": "auth",
    "NOT_FOUND": "not_found",
    "RESOURCE_EXHAUSTED": "rate_limited",
    "UNAVAILABLE": "overloaded",
    "DEADLINE_EXCEEDED": "timeout",
    "INTERNAL": "internal",
    "FAILED_PRECONDITION": "quota",  # billing or region, says the troubleshooting page
}
KIND_OF_WORDS: Final[dict[str, ErrorKind]] = {
    "api key not valid": "auth",
    "api key expired": "auth",
    "exceeds the maximum number of tokens": "context_too_long",
    "input token count": "context_too_long",
}


def classify(status: int, headers: dict[bytes, bytes], body: bytes) -> ProviderError:
    """What an error answer means; Google tells the pause in the body (`RetryInfo`)."""
    try:
        parsed: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        parsed = None
    if isinstance(parsed, list) and parsed:  # without alt=sse a stream is an array, also of errors
        parsed = parsed[0]
    return from_object(parsed.get("error") if isinstance(parsed, dict) else None, status)


def from_object(error: Any, status: int) -> ProviderError:
    """From the `error` of a body or of a chunk in a stream."""
    fields = error if isinstance(error, dict) else {}
    message = text_of(fields.get("message")) or f"the provider answered HTTP {status}"
    kind = KIND_OF_STATUS.get(text_of(fields.get("status"))) or kind_of_status(status)
    if kind == "bad_request" or status == 400:
        lowered = message.lower()
        kind = next((found for words, found in KIND_OF_WORDS.items() if words in lowered), kind)
    pause = None
    details = fields.get("details")
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict):
            continue
        told = text_of(detail.get("retryDelay"))
        if told.endswith("s"):
            pause = _seconds(told[:-1])
        violations = detail.get("violations")
        for violation in violations if isinstance(violations, list) else ():
            # A limit per day is a quota: waiting seconds does not help.
            if isinstance(violation, dict) and "PerDay" in text_of(violation.get("quotaId")):
                kind = "quota"
    return ProviderError(kind, message, status=status, retry_after=pause)


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 1e9 else None


class Gemini:
    """Implements `Provider`."""

    kind = "gemini"

    def __init__(self, config: ProviderConfig) -> None:
        self.name = config.name
        self.models = config.models
        key = config.key()
        self._upstream = HttpUpstream(config, BASE_URL, classify, key)
        self._headers = {"user-agent": USER_AGENT, "content-type": "application/json"}
        if key:
            self._headers["x-goog-api-key"] = key
        self._heads: dict[tuple[str, str], bytes] = {}
        self._list = self._upstream.client.head("GET", "/models?pageSize=1", self._headers)

    async def complete(self, request: CanonicalRequest, deadline: float) -> CanonicalResponse:
        body = msgspec.json.encode(wire.render(request))
        raw = await self._upstream.request(self._head(request.model, "generateContent"), body, deadline)
        answer = self._decode(raw)
        state = _StreamState(request)
        events = state.events(answer)
        finish = self._finish(state)
        return CanonicalResponse(
            id=answer.response_id,
            model=answer.model_version or request.model,
            parts=_collect(events),
            finish=finish,
            usage=state.usage or state.estimate(),
        )

    async def stream(self, request: CanonicalRequest, deadline: float) -> AsyncGenerator[StreamEvent, None]:
        body = msgspec.json.encode(wire.render(request))
        head = self._head(request.model, "streamGenerateContent?alt=sse")
        source = await self._upstream.stream(head, body, deadline)
        state = _StreamState(request)
        whole = False
        try:
            while (batch := await source.batch()) is not None:
                for _, data in batch:
                    chunk = self._decode(data)
                    if chunk.error is not None:
                        raise self._upstream.tell(from_object(chunk.error, 200))
                    for event in state.events(chunk):
                        yield event
                source.seen_token = state.written > 0
            whole = True
        finally:
            source.close(whole=whole)
        # There is no closing event: the last chunk names the reason.
        yield StreamEnd(self._finish(state), state.usage or state.estimate())

    async def embed(self, request: EmbeddingRequest, deadline: float) -> EmbeddingResponse:
        model = f"models/{request.model}"
        asked: list[JSON] = [
            {"model": model, "content": {"parts": [{"text": text}]}} for text in request.inputs
        ]
        if request.dimensions is not None:
            for one in asked:
                one["outputDimensionality"] = request.dimensions
        body = msgspec.json.encode({"requests": asked})
        raw = await self._upstream.request(self._head(request.model, "batchEmbedContents"), body, deadline, 0)
        try:
            vectors = wire.EMBEDDINGS.decode(raw).embeddings
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._upstream.unreadable() from None
        if len(vectors) != len(request.inputs):
            raise self._upstream.unreadable()
        return EmbeddingResponse(
            model=request.model,
            vectors=tuple([vector.values for vector in vectors]),
            usage=Usage(sum([estimate_text(text) for text in request.inputs]), estimated=True),
        )

    async def check(self, deadline: float) -> None:
        await self._upstream.request(self._list, b"", deadline)

    async def close(self) -> None:
        await self._upstream.close()

    def _head(self, model: str, method: str) -> bytes:
        """The model stands in the path; known ones are built once."""
        head = self._heads.get((model, method))
        if head is None:
            path = f"/models/{quote(model, safe='')}:{method}"
            head = self._upstream.client.head("POST", path, self._headers)
            if len(self._heads) < 1_000:
                self._heads[model, method] = head
        return head

    def _decode(self, raw: bytes) -> wire.WireAnswer:
        try:
            return wire.ANSWER.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._upstream.unreadable() from None

    def _finish(self, state: _StreamState) -> FinishReason:
        if state.blocked:
            message = f"the prompt was blocked: {state.blocked}"
            raise ProviderError("content_filtered", message, provider=self.name)
        reason = state.finish
        if reason is None:
            raise self._upstream.cut()
        if reason in wire.BROKEN:
            raise self._upstream.tell(ProviderError("internal", f"the model broke off: {reason}"))
        finish = wire.FINISH.get(reason, "stop")
        return "tool_calls" if state.calls and finish == "stop" else finish


class _StreamState:
    """Turns chunks into events and remembers what the end needs."""

    __slots__ = ("_request", "_started", "blocked", "calls", "finish", "usage", "written")

    def __init__(self, request: CanonicalRequest) -> None:
        self._request = request
        self._started = False
        self.calls = 0
        self.finish: str | None = None
        self.blocked = ""
        self.usage: Usage | None = None
        self.written = 0

    def events(self, chunk: wire.WireAnswer) -> list[StreamEvent]:
        out: list[StreamEvent] = []
        if chunk.usage_metadata is not None:
            self.usage = chunk.usage_metadata.usage()
        if not self._started:
            self._started = True
            told = self.usage.input_tokens if self.usage is not None else 0
            out.append(StreamStart(chunk.response_id, chunk.model_version or self._request.model, told))
        if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason:
            self.blocked = chunk.prompt_feedback.block_reason
        if not chunk.candidates:
            return out
        candidate = chunk.candidates[0]
        if candidate.finish_reason is not None:
            self.finish = candidate.finish_reason
        for part in (candidate.content.parts or ()) if candidate.content is not None else ():
            self._part(part, out)
        return out

    def estimate(self) -> Usage:
        return Usage(estimate_request(self._request), -(-self.written // 4), estimated=True)

    def _part(self, part: wire.WirePart, out: list[StreamEvent]) -> None:
        call = part.function_call
        if call is not None:
            # Google names no id where the model gave none; clients need one that never repeats.
            call_id = call.id or f"call_{secrets.token_hex(8)}"
            out.append(ToolCallStart(self.calls, call_id, call.name, part.thought_signature))
            arguments = msgspec.json.encode(call.args or {}).decode()
            out.append(ToolCallDelta(self.calls, arguments))
            self.calls += 1
            self.written += len(arguments)
        elif part.text:
            self.written += len(part.text)
            out.append(ThinkingDelta(part.text) if part.thought else TextDelta(part.text))


def _collect(events: list[StreamEvent]) -> tuple[Text | ToolCall | Thinking, ...]:
    """Events of one whole answer as parts; texts that touch become one."""
    parts: list[Text | ToolCall | Thinking] = []
    for event in events:
        last = parts[-1] if parts else None
        if isinstance(event, TextDelta):
            if isinstance(last, Text):
                parts[-1] = Text(last.text + event.text)
            else:
                parts.append(Text(event.text))
        elif isinstance(event, ThinkingDelta):
            parts.append(Thinking(event.text))
        elif isinstance(event, ToolCallStart):
            parts.append(ToolCall(event.id, event.name, "", event.signature))
        elif isinstance(event, ToolCallDelta) and isinstance(last, ToolCall):
            parts[-1] = msgspec.structs.replace(last, arguments=event.arguments)
    return tuple(parts)
