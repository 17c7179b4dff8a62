"""`POST /v1/chat/completions`: admit, decode, route, render."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Protocol

from service.api import openai_answer as answer
from service.api import openai_request as wire
from service.api.decode import decode
from service.api.errors import ApiError, body
from service.api.exchange import JSON, Exchange, Headers
from service.api.gate import Gate
from service.providers.base import CanonicalRequest, CanonicalResponse, StreamEvent
from service.routing.context import CallContext


class Router(Protocol):
    """What the API needs of `service.routing`."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def complete(self, request: CanonicalRequest, ctx: CallContext) -> CanonicalResponse: ...

    def stream(self, request: CanonicalRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]: ...


class ChatCompletions:
    """The hot path."""

    def __init__(
        self, gate: Gate, router: Router, *, max_body: int, body_seconds: float, seconds: float
    ) -> None:
        self._gate = gate
        self._router = router
        self._max_body = max_body
        self._body_seconds = body_seconds
        self._seconds = seconds

    async def __call__(self, exchange: Exchange) -> None:
        await self._gate.admit(exchange, "chat")
        data = await exchange.body(self._max_body, self._body_seconds)
        asked = decode(wire.DECODER, data)
        request = wire.parse(asked)
        ctx = CallContext(request_id=exchange.request_id, deadline=exchange.started + self._seconds)
        exchange.watch_disconnect()
        if asked.stream:
            options = asked.stream_options
            await self._stream(exchange, request, ctx, options is not None and options.include_usage)
        else:
            response = await self._router.complete(request, ctx)
            rendered = answer.render(response, completion_id(exchange), int(time.time()))
            describe(exchange, ctx)
            await exchange.respond(200, [JSON, *route_headers(ctx)], rendered)

    async def _stream(
        self, exchange: Exchange, request: CanonicalRequest, ctx: CallContext, include_usage: bool
    ) -> None:
        events = self._router.stream(request, ctx)
        try:
            # Failures before the first event are still a proper error response.
            first = await anext(events)
            renderer = answer.StreamRenderer(
                completion_id(exchange),
                int(time.time()),
                ctx.model or request.model,
                include_usage=include_usage,
            )
            await exchange.start_stream(route_headers(ctx))
            await exchange.write(renderer.first() + renderer.event(first))
            try:
                async for event in events:
                    data = renderer.event(event)
                    if data:
                        await exchange.write(data)
            except ApiError as error:
                await exchange.finish(cut(error, exchange))
            except Exception as error:
                await exchange.finish(cut(exchange.describe_failure(error), exchange))
            else:
                await exchange.finish(answer.DONE)
        finally:
            describe(exchange, ctx)
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()


def cut(error: ApiError, exchange: Exchange) -> bytes:
    """A broken stream ends with an error event and without `[DONE]`, so that nobody takes it for whole."""
    exchange.fields["outcome"] = "cut"
    return b"data: " + body(error, exchange.request_id) + b"\n\n"


def completion_id(exchange: Exchange) -> str:
    return "chatcmpl-" + exchange.request_id[4:]


def route_headers(ctx: CallContext) -> Headers:
    return [
        (b"x-superagent-provider", (ctx.provider or "").encode()),
        (b"x-superagent-attempts", b"%d" % max(1, len(ctx.attempts))),
    ]


def describe(exchange: Exchange, ctx: CallContext) -> None:
    """What the request's log line says about the call: names, counts and times only."""
    fields = exchange.fields
    fields["provider"] = ctx.provider
    fields["model"] = ctx.model
    fields["attempts"] = len(ctx.attempts)
    if ctx.usage is not None:
        fields["input_tokens"] = ctx.usage.input_tokens
        fields["output_tokens"] = ctx.usage.output_tokens
        fields["cost_usd"] = ctx.cost_usd
    if ctx.ttft is not None:
        fields["ttft_ms"] = round(ctx.ttft * 1000, 3)
