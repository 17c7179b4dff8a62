"""`POST /v1/embeddings`, in OpenAI's format; base64 is what their official client asks for."""

from __future__ import annotations

import array
import base64
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from service.api.call import outcome_of, route_headers
from service.api.decode import decode
from service.api.errors import ApiError
from service.api.exchange import JSON, Exchange
from service.api.gate import Gate
from service.api.pipeline import Pipeline
from service.providers.base import CanonicalRequest, EmbeddingRequest, EmbeddingResponse, Message, Text
from service.routing.context import CallContext

Embed = Callable[[EmbeddingRequest, CallContext], Awaitable[EmbeddingResponse]]


class EmbeddingsBody(Struct):
    """The body; arrays of token numbers are refused, because they belong to one tokenizer."""

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    input: str | Annotated[list[str], Meta(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    user: Annotated[str, Meta(max_length=512)] | None = None


DECODER: Final = msgspec.json.Decoder(EmbeddingsBody)


class Embeddings:
    """The handler."""

    def __init__(
        self, gate: Gate, pipeline: Pipeline, embed: Embed, *, max_body: int, body_seconds: float
    ) -> None:
        self._gate = gate
        self._pipeline = pipeline
        self._embed = embed
        self._max_body = max_body
        self._body_seconds = body_seconds

    async def __call__(self, exchange: Exchange) -> None:
        principal = await self._gate.admit(exchange, "chat")
        asked = decode(DECODER, await exchange.body(self._max_body, self._body_seconds))
        inputs = (asked.input,) if isinstance(asked.input, str) else tuple(asked.input)
        if "" in inputs:
            raise ApiError(400, "An empty text cannot be embedded.", param="input")
        # Limits and the ledger count an embedding like a chat of the same texts with no answer.
        like = CanonicalRequest(
            model=asked.model, messages=(Message("user", tuple([Text(one) for one in inputs])),), max_tokens=1
        )
        call = await self._pipeline.begin(exchange, principal, like, False, cacheable=False)
        request = EmbeddingRequest(
            model=asked.model, inputs=inputs, dimensions=asked.dimensions, user=asked.user
        )
        try:
            response = await self._embed(request, call.ctx)
            rendered = render(response, asked.encoding_format)
        except BaseException as error:
            self._pipeline.end(call, outcome_of(error))
            raise
        self._pipeline.end(call, "ok")
        await exchange.respond(200, [JSON, *route_headers(call)], rendered)


def render(response: EmbeddingResponse, form: str) -> bytes:
    """Vectors as numbers, or as base64 of little-endian 32-bit floats."""
    data: list[dict[str, Any]] = [
        {"object": "embedding", "index": index, "embedding": _base64(one) if form == "base64" else one}
        for index, one in enumerate(response.vectors)
    ]
    tokens = response.usage.input_tokens
    used = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": response.model, "usage": used})


def _base64(vector: list[float]) -> str:
    numbers = array.array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
