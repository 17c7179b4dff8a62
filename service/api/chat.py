"""`POST /v1/chat/completions`: admit, decode, call, render. The hot path."""

from __future__ import annotations

import time

from service.api import openai_answer as answer
from service.api import openai_request as wire
from service.api.decode import decode
from service.api.errors import ApiError, body
from service.api.exchange import JSON, Exchange
from service.api.gate import Gate
from service.api.pipeline import Call, Pipeline, outcome_of, route_headers


class ChatCompletions:
    """OpenAI's format around `Pipeline`."""

    def __init__(self, gate: Gate, pipeline: Pipeline, *, max_body: int, body_seconds: float) -> None:
        self._gate = gate
        self._pipeline = pipeline
        self._max_body = max_body
        self._body_seconds = body_seconds

    async def __call__(self, exchange: Exchange) -> None:
        principal = await self._gate.admit(exchange, "chat")
        asked = decode(wire.DECODER, await exchange.body(self._max_body, self._body_seconds))
        call = await self._pipeline.begin(exchange, principal, wire.parse(asked), bool(asked.stream))
        if asked.stream:
            options = asked.stream_options
            await self._stream(call, options is not None and options.include_usage)
        else:
            await self._complete(call)

    async def _complete(self, call: Call) -> None:
        exchange, pipeline = call.exchange, self._pipeline
        try:
            response = await pipeline.complete(call)
            rendered = answer.render(response, completion_id(exchange), int(time.time()))
        except BaseException as error:
            pipeline.end(call, outcome_of(error))
            raise
        pipeline.end(call, "ok")  # in the journal before the client has its answer
        await exchange.respond(200, [JSON, *route_headers(call)], rendered)

    async def _stream(self, call: Call, include_usage: bool) -> None:
        exchange, pipeline = call.exchange, self._pipeline
        events = pipeline.stream(call)
        try:
            # Failures before the first event are still a proper error response.
            first = await anext(events)
            renderer = answer.StreamRenderer(
                completion_id(exchange),
                int(time.time()),
                call.ctx.model or call.request.model,
                include_usage=include_usage,
            )
            await exchange.start_stream(route_headers(call))
            await exchange.write(renderer.first() + renderer.event(first))
            async for event in events:
                data = renderer.event(event)
                if data:
                    await exchange.write(data)
        except Exception as error:
            if exchange.status == 0:
                await events.aclose()
                pipeline.end(call, outcome_of(error))
                raise
            await events.aclose()
            pipeline.end(call, "cut")
            await exchange.finish(cut(exchange.describe_failure(error), exchange))
        except BaseException as error:
            await events.aclose()
            pipeline.end(call, outcome_of(error))
            raise
        else:
            pipeline.end(call, "ok")
            await exchange.finish(answer.DONE)


def cut(error: ApiError, exchange: Exchange) -> bytes:
    """A broken stream ends with an error event and without `[DONE]`, so that nobody takes it for whole."""
    return b"data: " + body(error, exchange.request_id) + b"\n\n"


def completion_id(exchange: Exchange) -> str:
    return "chatcmpl-" + exchange.request_id[4:]
