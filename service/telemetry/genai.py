"""OpenTelemetry's names for calls of models: every `gen_ai.` attribute that this service sets, and when.

Source: https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/client-inference.md and
client-embeddings.md (status: development). Messages, instructions, tools and stop sequences are opt-in there
and never set here.
"""

from __future__ import annotations

import re
from typing import Any, Final

from service.providers.base import CanonicalRequest, EmbeddingRequest, StreamEvent, StreamStart, Usage
from service.telemetry.traces import CLIENT, Attributes, Recording, Span

CHAT: Final = "chat"
GENERATE: Final = "generate_content"
EMBEDDINGS: Final = "embeddings"

# Our kind of provider -> the convention's name; OpenAI-compatible servers go by their flavour.
PROVIDER_NAMES: Final = {"anthropic": "anthropic", "gemini": "gcp.gemini", "bedrock": "aws.bedrock"}
IDENTIFIER: Final = re.compile(r"[\w.:/@+=-]{1,128}", re.ASCII)  # what else a provider says is left out
ANY_MODEL: Final = "other"  # how metrics name a model whose name the client chose


def asked(request: CanonicalRequest, stream: bool) -> Attributes:
    """What is known of a chat before anybody is asked: numbers only."""
    attributes: Attributes = {"gen_ai.operation.name": CHAT}
    if stream:
        attributes["gen_ai.request.stream"] = True
    for name, value in (
        ("gen_ai.request.max_tokens", request.max_tokens),
        ("gen_ai.request.temperature", request.temperature),
        ("gen_ai.request.top_p", request.top_p),
        ("gen_ai.request.seed", request.seed),
        ("gen_ai.request.frequency_penalty", request.frequency_penalty),
        ("gen_ai.request.presence_penalty", request.presence_penalty),
    ):
        if value is not None:
            attributes[name] = value
    return attributes


def embedding(request: EmbeddingRequest) -> Attributes:
    attributes: Attributes = {"gen_ai.operation.name": EMBEDDINGS}
    if request.dimensions is not None:
        attributes["gen_ai.embeddings.dimension.count"] = request.dimensions
    return attributes


def began(
    recording: Recording, provider: Any, model: str, number: int, asked: Attributes, parent: Span | None
) -> Span:
    """The span of one attempt. `model` is its name in metrics, which no client can write."""
    kind: str = provider.kind
    attributes = dict(asked)
    if kind == "gemini" and attributes.get("gen_ai.operation.name") == CHAT:
        attributes["gen_ai.operation.name"] = GENERATE
    attributes["gen_ai.provider.name"] = PROVIDER_NAMES.get(kind) or getattr(provider, "flavour", "") or kind
    attributes["gen_ai.request.model"] = model
    attributes["superagent.provider"] = provider.name
    attributes["superagent.attempt"] = number
    operation = attributes.get("gen_ai.operation.name", CHAT)
    return recording.open(f"{operation} {model}", attributes, kind=CLIENT, parent=parent)


def first_token(span: Span, first: StreamEvent, seconds: float) -> None:
    """The stream has begun, `seconds` after it was asked for."""
    span.attributes["gen_ai.response.time_to_first_chunk"] = seconds
    span.event("first_token")
    if isinstance(first, StreamStart):
        _says(span, first.id, first.model)


def failed(span: Span, kind: str) -> None:
    """There is no whole answer; `kind` as in `service.providers.errors`."""
    span.attributes["gen_ai.response.finish_reasons"] = ["error"]
    span.close(kind)


def answered(span: Span, usage: Usage, *, identity: str = "", model: str = "", finish: str = "") -> None:
    """The answer is whole."""
    attributes = span.attributes
    _says(span, identity, model)
    if finish:
        attributes["gen_ai.response.finish_reasons"] = [finish]
    attributes["gen_ai.usage.input_tokens"] = usage.input_tokens
    if attributes.get("gen_ai.operation.name") != EMBEDDINGS:
        attributes["gen_ai.usage.output_tokens"] = usage.output_tokens
    for name, value in (
        ("gen_ai.usage.cache_read.input_tokens", usage.cache_read_tokens),
        ("gen_ai.usage.cache_write.input_tokens", usage.cache_write_tokens),
        ("gen_ai.usage.reasoning.output_tokens", usage.reasoning_tokens),
    ):
        if value:
            attributes[name] = value


def _says(span: Span, identity: str, model: str) -> None:
    attributes = span.attributes
    if IDENTIFIER.fullmatch(identity):
        attributes["gen_ai.response.id"] = identity
    if IDENTIFIER.fullmatch(model) and attributes["gen_ai.request.model"] != ANY_MODEL:
        attributes["gen_ai.response.model"] = model
