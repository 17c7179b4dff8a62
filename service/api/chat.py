"""`POST /v1/chat/completions`: admit, decode, call, render. The hot path."""

from __future__ import annotations

import time

from service.api import openai_answer as answer
from service.api import openai_request as wire
from service.api.call import Call, json_lines
from service.api.decode import decode
from service.api.exchange import Exchange
from service.api.gate import Gate
from service.api.pipeline import Pipeline
from service.api.streaming import several, stream


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
        request, streamed = wire.parse(asked), bool(asked.stream)
        if asked.n is not None and asked.n > 1:
            call = await pipeline.begin(exchange, principal, request, streamed, choices=asked.n)
            await self._several(call, asked)
            return
        call = await pipeline.begin(exchange, principal, request, streamed)
        if streamed:
            await self._stream(call, asked)
            return
        found = call.cached.response if call.cached is not None else await pipeline.complete(call)
        rendered = answer.render(found, "chatcmpl-" + exchange.request_id[4:], int(time.time()))
        pipeline.end(call, "ok")  # in the journal before the client has its answer
        await exchange.reply(200, json_lines(call), rendered)

    async def _stream(self, call: Call, asked: wire.ChatRequest) -> None:
        pipeline, options = self._pipeline, asked.stream_options
        identity = "chatcmpl-" + call.exchange.request_id[4:]
        include_usage = options is not None and options.include_usage

        def renderer() -> answer.StreamRenderer:
            model = call.ctx.model or call.request.model
            return answer.StreamRenderer(identity, int(time.time()), model, include_usage=include_usage)

        await stream(pipeline, call, pipeline.stream(call), renderer, answer.DONE)

    async def _several(self, call: Call, asked: wire.ChatRequest) -> None:
        pipeline, exchange = self._pipeline, call.exchange
        identity, created = "chatcmpl-" + exchange.request_id[4:], int(time.time())
        if asked.stream:
            options = asked.stream_options
            include_usage = options is not None and options.include_usage

            def renderer() -> answer.SeveralRenderer:
                model = call.ctx.model or call.request.model
                return answer.SeveralRenderer(
                    [
                        answer.StreamRenderer(
                            identity, created, model, include_usage=include_usage, index=index
                        )
                        for index in range(call.choices)
                    ]
                )

            await stream(pipeline, call, pipeline.choices.stream(call), renderer, answer.DONE)
            return
        rendered = answer.render_several(await several(pipeline, call), identity, created)
        pipeline.end(call, "ok")
        await exchange.reply(200, json_lines(call), rendered)
