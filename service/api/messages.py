"""`POST /v1/messages`: Anthropic's format around the same pipeline."""

from __future__ import annotations

from service.api import anthropic_answer as answer
from service.api import anthropic_messages as wire
from service.api.call import json_lines
from service.api.decode import decode
from service.api.errors import ApiError
from service.api.exchange import Exchange
from service.api.gate import Gate
from service.api.pipeline import Pipeline
from service.api.streaming import stream
from service.providers.base import StreamEvent


class Messages:
    """The handler; its errors are in Anthropic's form."""

    def __init__(self, gate: Gate, pipeline: Pipeline, *, max_body: int, body_seconds: float) -> None:
        self._gate = gate
        self._pipeline = pipeline
        self._max_body = max_body
        self._body_seconds = body_seconds

    async def __call__(self, exchange: Exchange) -> None:
        exchange.error_body = answer.error
        pipeline = self._pipeline
        principal = await self._gate.admit(exchange, "chat")
        asked = decode(wire.DECODER, await exchange.body(self._max_body, self._body_seconds))
        call = await pipeline.begin(exchange, principal, wire.parse(asked), bool(asked.stream))
        identity = "msg_" + exchange.request_id[4:]
        if asked.stream:
            await stream(
                pipeline,
                call,
                pipeline.stream(call),
                lambda: _Renderer(identity, call.ctx.model or call.request.model),
                b"",
                _cut,
            )
            return
        rendered = answer.render(await pipeline.complete(call), identity)
        pipeline.end(call, "ok")
        await exchange.reply(200, json_lines(call), rendered)


class _Renderer:
    def __init__(self, identity: str, model: str) -> None:
        self._renderer = answer.StreamRenderer(identity, model)

    def first(self) -> bytes:
        return b""

    def event(self, event: StreamEvent) -> bytes:
        return self._renderer.event(event)


def _cut(error: ApiError, exchange: Exchange) -> bytes:
    return answer.error_event(error, exchange.request_id)
