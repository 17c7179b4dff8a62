"""`POST /v1/chat/completions`: admit, decode, call, render. The hot path."""

from __future__ import annotations

import time

from service.api import openai_answer as answer
from service.api import openai_request as wire
from service.api.call import json_lines
from service.api.decode import decode
from service.api.exchange import Exchange
from service.api.gate import Gate
from service.api.pipeline import Pipeline
from service.api.streaming import stream, whole


class ChatCompletions:
    """OpenAI's format around `Pipeline`."""

    def __init__(self, gate: Gate, pipeline: Pipeline, *, max_body: int, body_seconds: float) -> None:
        self._gate = gate
        self._pipeline = pipeline
        self._max_body = max_body
        self._body_seconds = body_seconds

    async def __call__(self, exchange: Exchange) -> None:
        pipeline = self._pipeline
        principal = self._gate.known(exchange, "chat") or await self._gate.admit(exchange, "chat")
        data = exchange.ready_body(self._max_body)
        if data is None:
            data = await exchange.body(self._max_body, self._body_seconds)
        asked = decode(wire.DECODER, data)
        call = await pipeline.begin(exchange, principal, wire.parse(asked), bool(asked.stream))
        identity = "chatcmpl-" + exchange.request_id[4:]
        if asked.stream:
            options = asked.stream_options
            include_usage = options is not None and options.include_usage

            def renderer() -> answer.StreamRenderer:
                model = call.ctx.model or call.request.model
                return answer.StreamRenderer(identity, int(time.time()), model, include_usage=include_usage)

            await stream(pipeline, call, renderer, answer.DONE)
            return
        rendered = answer.render(await whole(pipeline, call), identity, int(time.time()))
        pipeline.end(call, "ok")  # in the journal before the client has its answer
        await exchange.reply(200, json_lines(call), rendered)
