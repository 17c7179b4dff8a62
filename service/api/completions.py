"""`POST /v1/completions`: OpenAI's older format, answered through the same chat call."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from service.api.call import Call, json_lines
from service.api.choices import MAX_CHOICES, add
from service.api.decode import decode
from service.api.errors import ApiError
from service.api.exchange import Exchange
from service.api.gate import Gate
from service.api.openai_answer import DONE, FINISH, SeveralRenderer, UsageOut, encode, usage
from service.api.openai_request import Count, Penalty, Probability, StreamOptions
from service.api.pipeline import Pipeline
from service.api.streaming import several, stream
from service.providers.base import (
    CanonicalRequest,
    Message,
    StreamEnd,
    StreamEvent,
    Text,
    TextDelta,
    Usage,
)


class CompletionRequest(Struct):
    """The body. One prompt a request; token arrays, `best_of` over `n` and `logprobs` are refused."""

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    prompt: str | Annotated[list[str], Meta(min_length=1, max_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Probability | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] | None = None
    best_of: int | None = None
    logprobs: int | None = None
    echo: bool | None = None
    suffix: str | None = None
    stop: str | Annotated[list[str], Meta(max_length=16)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    user: Annotated[str, Meta(max_length=512)] | None = None


DECODER: Final = msgspec.json.Decoder(CompletionRequest)


def parse(asked: CompletionRequest) -> CanonicalRequest:
    """Raises `ApiError` 400 with `param`."""
    if asked.best_of is not None and asked.best_of != (asked.n or 1):
        raise ApiError(400, "'best_of' other than 'n' is not supported: leave it out.", param="best_of")
    if asked.logprobs:
        raise ApiError(400, "'logprobs' is not supported: leave it out.", param="logprobs")
    if asked.suffix:
        raise ApiError(400, "'suffix' is not supported: leave it out.", param="suffix")
    return CanonicalRequest(
        model=asked.model,
        messages=(Message("user", (Text(_prompt(asked)),)),),
        max_tokens=asked.max_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        stop=(asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ()),
        seed=asked.seed,
        frequency_penalty=asked.frequency_penalty,
        presence_penalty=asked.presence_penalty,
        user=asked.user,
    )


def _prompt(asked: CompletionRequest) -> str:
    return asked.prompt if isinstance(asked.prompt, str) else asked.prompt[0]


class Completions:
    """The handler."""

    def __init__(self, gate: Gate, pipeline: Pipeline, *, max_body: int, body_seconds: float) -> None:
        self._gate = gate
        self._pipeline = pipeline
        self._max_body = max_body
        self._body_seconds = body_seconds

    async def __call__(self, exchange: Exchange) -> None:
        principal = await self._gate.admit(exchange, "chat")
        asked = decode(DECODER, await exchange.body(self._max_body, self._body_seconds))
        pipeline, number = self._pipeline, asked.n or 1
        call = await pipeline.begin(exchange, principal, parse(asked), bool(asked.stream), choices=number)
        prompt = _prompt(asked) if asked.echo else ""
        if asked.stream:
            await self._stream(call, asked, prompt)
            return
        answers = await several(pipeline, call) if number > 1 else [await pipeline.complete(call)]
        choices = [_choice(index, prompt + one.text, FINISH[one.finish]) for index, one in enumerate(answers)]
        used = usage(add([one.usage for one in answers]))
        rendered = encode({**_head(call, int(time.time())), "choices": choices, "usage": used})
        pipeline.end(call, "ok")
        await exchange.reply(200, json_lines(call), rendered)

    async def _stream(self, call: Call, asked: CompletionRequest, prompt: str) -> None:
        pipeline, options = self._pipeline, asked.stream_options
        include_usage = options is not None and options.include_usage

        def renderer(index: int = 0) -> _Renderer:
            return _Renderer(call, index, prompt, include_usage)

        if call.choices == 1:
            await stream(pipeline, call, pipeline.stream(call), renderer, DONE)
            return
        await stream(
            pipeline,
            call,
            pipeline.choices.stream(call),
            lambda: SeveralRenderer([renderer(index) for index in range(call.choices)]),
            DONE,
        )


def _head(call: Call, created: int) -> dict[str, Any]:
    identity = "cmpl-" + call.exchange.request_id[4:]
    model = call.ctx.model or call.request.model
    return {"id": identity, "object": "text_completion", "created": created, "model": model}


def _choice(index: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


class _Renderer:
    """Events as chunks of text; tool calls and reasoning have no place in this format."""

    def __init__(self, call: Call, index: int, prompt: str, include_usage: bool) -> None:
        self._call = call
        self._index = index
        self._prompt = prompt
        self._include_usage = include_usage
        self._head: dict[str, Any] = {}

    def first(self) -> bytes:
        self._head = _head(self._call, int(time.time()))
        return self._text(self._prompt) if self._prompt else b""

    def event(self, event: StreamEvent) -> bytes:
        if isinstance(event, TextDelta):
            return self._text(event.text)
        if isinstance(event, StreamEnd):
            return self.end(event) + self.used(event.usage)
        return b""

    def end(self, end: StreamEnd) -> bytes:
        return self._event([_choice(self._index, "", FINISH[end.finish])])

    def used(self, used: Usage) -> bytes:
        return self._event([], usage(used)) if self._include_usage else b""

    def _text(self, text: str) -> bytes:
        return self._event([_choice(self._index, text, None)])

    def _event(self, choices: list[dict[str, Any]], used: UsageOut | None = None) -> bytes:
        body = {**self._head, "choices": choices}
        if self._include_usage:
            body["usage"] = used
        return b"data: " + encode(body) + b"\n\n"
