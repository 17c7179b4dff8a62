"""OpenAI and every server that speaks its chat format; what differs is a row of `flavours`."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec

from service.providers import openai_wire as wire
from service.providers.base import (
    JSON,
    CanonicalRequest,
    CanonicalResponse,
    EmbeddingRequest,
    EmbeddingResponse,
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
from service.providers.config import ConfigError, ProviderConfig
from service.providers.flavours import FLAVOURS, Flavour
from service.providers.http_client import USER_AGENT, HttpUpstream
from service.providers.openai_errors import classify, from_object
from service.providers.openai_wire import WireAnswer, WireMessage
from service.providers.tokens import estimate_request, estimate_text

DONE = b"[DONE]"


class OpenAICompatible:
    """Implements `Provider`."""

    kind = "openai"

    def __init__(self, config: ProviderConfig) -> None:
        self.name = config.name
        self.models = config.models
        self.flavour, self._flavour = _flavour(config)
        key = config.key()
        self._upstream = HttpUpstream(config, self._flavour.base_url, classify, key)
        headers = {"user-agent": USER_AGENT, "content-type": "application/json"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        client = self._upstream.client
        self._chat = client.head("POST", "/chat/completions", headers)
        self._embeddings = client.head("POST", "/embeddings", headers)
        self._list = client.head("GET", "/models", headers)

    async def complete(self, request: CanonicalRequest, deadline: float) -> CanonicalResponse:
        body = msgspec.json.encode(wire.render(request, self._flavour, stream=False))
        raw = await self._upstream.request(self._chat, body, deadline)
        answer = self._decode(raw)
        choice = answer.choices[0] if answer.choices else None
        message = choice.message if choice is not None else None
        if choice is None or message is None:
            if answer.error is not None:
                raise self._upstream.tell(from_object(answer.error, 200))
            raise self._upstream.unreadable()
        parts = _parts(message)
        usage = answer.usage.usage() if answer.usage is not None else _estimate(request, parts)
        return CanonicalResponse(
            id=answer.id or "",
            model=answer.model or request.model,
            parts=parts,
            finish=self._finish(choice.finish_reason, bool(message.tool_calls), bool(message.refusal)),
            usage=usage,
        )

    async def stream(self, request: CanonicalRequest, deadline: float) -> AsyncGenerator[StreamEvent, None]:
        body = msgspec.json.encode(wire.render(request, self._flavour, stream=True))
        source = await self._upstream.stream(self._chat, body, deadline)
        state = _StreamState(request)
        try:
            while (batch := await source.batch()) is not None:
                for _, data in batch:
                    if data == DONE:
                        state.done = True
                        continue
                    chunk = self._decode(data)
                    if chunk.error is not None:
                        raise self._upstream.tell(from_object(chunk.error, 200))
                    for event in state.events(chunk):
                        yield event
                source.seen_token = state.written > 0
                if state.done:
                    break
        finally:
            source.close(whole=state.done)
        if not state.done and state.finish is None:
            raise self._upstream.cut()
        finish = self._finish(state.finish, bool(state.calls), state.refused)
        for index in sorted(state.bare):
            yield ToolCallDelta(index, "{}")
        yield StreamEnd(finish, state.usage or state.estimate())

    async def embed(self, request: EmbeddingRequest, deadline: float) -> EmbeddingResponse:
        body: JSON = {"model": request.model, "input": list(request.inputs), "encoding_format": "float"}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        raw = await self._upstream.request(self._embeddings, msgspec.json.encode(body), deadline, 0)
        try:
            answer = wire.EMBEDDINGS.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._upstream.unreadable() from None
        if len(answer.data) != len(request.inputs):
            raise self._upstream.unreadable()
        vectors = [vector.embedding for vector in sorted(answer.data, key=lambda vector: vector.index)]
        usage = answer.usage.usage() if answer.usage is not None else None
        return EmbeddingResponse(
            model=answer.model or request.model,
            vectors=tuple(vectors),
            usage=usage or Usage(sum([estimate_text(text) for text in request.inputs]), estimated=True),
        )

    async def check(self, deadline: float) -> None:
        response = await self._upstream.exchange(self._list, b"", deadline)
        # A server without a list of models answers 404, and is there.
        if response.status in (401, 403) or response.status >= 500:
            raise self._upstream.refused(response.status, response.headers, response.body)

    async def close(self) -> None:
        await self._upstream.close()

    def _decode(self, raw: bytes) -> WireAnswer:
        try:
            return wire.ANSWER.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._upstream.unreadable() from None

    def _finish(self, reason: str | None, calls: bool, refused: bool) -> FinishReason:
        if reason == "stop" and not calls and not refused:
            return "stop"
        try:
            return wire.finish_of(reason, calls=calls, refused=refused)
        except ProviderError as error:
            raise self._upstream.tell(error) from None


class _StreamState:
    """Turns chunks into events and remembers what the end needs."""

    __slots__ = (
        "_ids", "_request", "_started", "bare", "calls", "done", "finish", "refused", "usage", "written",
    )  # fmt: skip

    def __init__(self, request: CanonicalRequest) -> None:
        self._request = request
        self._started = False
        self._ids: dict[str, int] = {}
        self.calls: dict[int, int] = {}  # the server's index -> ours
        self.bare: set[int] = set()  # ours whose arguments have not come
        self.done = False
        self.finish: str | None = None
        self.refused = False
        self.usage: Usage | None = None
        self.written = 0

    def events(self, chunk: WireAnswer) -> list[StreamEvent]:
        out: list[StreamEvent] = []
        if not self._started:
            self._started = True
            out.append(StreamStart(chunk.id or "", chunk.model or self._request.model))
        if chunk.usage is not None:
            self.usage = chunk.usage.usage()
        if not chunk.choices:
            return out
        choice = chunk.choices[0]
        if choice.finish_reason is not None:
            self.finish = choice.finish_reason
        delta = choice.delta
        if delta is None:
            return out
        thought = delta.reasoning_content or delta.reasoning
        if thought:
            self.written += len(thought)
            out.append(ThinkingDelta(thought))
        text = wire.content_text(delta.content)
        if delta.refusal:
            self.refused = True
            text += delta.refusal
        if text:
            self.written += len(text)
            out.append(TextDelta(text))
        if delta.tool_calls:
            self._tool_calls(delta, out)
        return out

    def estimate(self) -> Usage:
        return Usage(estimate_request(self._request), -(-self.written // 4), estimated=True)

    def _tool_calls(self, delta: WireMessage, out: list[StreamEvent]) -> None:
        for call in delta.tool_calls or ():
            key = call.index if call.index is not None else self._key(call.id)
            index = self.calls.get(key)
            if index is None:
                index = self.calls[key] = len(self.calls)
                self.bare.add(index)
                out.append(ToolCallStart(index, call.id or f"call_{index}", call.function.name or ""))
            if call.function.arguments:
                text = call.function.text()
                self.bare.discard(index)
                self.written += len(text)
                out.append(ToolCallDelta(index, text))

    def _key(self, call_id: str | None) -> int:
        """For servers that leave the index out: a new id is a new call, none continues the last."""
        if call_id is None:
            return len(self._ids) - 1 if self._ids else 0
        return self._ids.setdefault(call_id, len(self._ids))


def _parts(message: WireMessage) -> tuple[Text | ToolCall | Thinking, ...]:
    thought, content = message.reasoning_content or message.reasoning, message.content
    if type(content) is str and content and not thought and not message.tool_calls:
        return (Text(content),)
    parts: list[Text | ToolCall | Thinking] = []
    if thought:
        parts.append(Thinking(thought))
    text = wire.content_text(content) or message.refusal
    if text:
        parts.append(Text(text))
    for index, call in enumerate(message.tool_calls or ()):
        parts.append(
            ToolCall(call.id or f"call_{index}", call.function.name or "", call.function.text() or "{}")
        )
    return tuple(parts)


def _estimate(request: CanonicalRequest, parts: tuple[Text | ToolCall | Thinking, ...]) -> Usage:
    texts = [part.arguments if isinstance(part, ToolCall) else part.text for part in parts]
    written = sum([estimate_text(text) for text in texts])
    return Usage(estimate_request(request), written, estimated=True)


def _flavour(config: ProviderConfig) -> tuple[str, Flavour]:
    name = config.flavour or ("generic" if config.base_url else "openai")
    if name not in FLAVOURS:
        raise ConfigError(
            f"providers.{config.name}.flavour: {name!r} is unknown; use one of {', '.join(FLAVOURS)}."
        )
    flavour = FLAVOURS[name]
    if not config.base_url and not flavour.base_url:
        raise ConfigError(f"providers.{config.name}.base_url: empty; write the URL that ends before /chat.")
    return name, flavour
