"""The one internal language: every API parses into it, every adapter translates from and to it.

Token counts follow one convention everywhere: `input_tokens` includes cached reads and writes,
`output_tokens` includes reasoning. Deadlines are absolute `time.monotonic()` seconds. What is hashed or kept
leaves its defaults out: that is a third of the bytes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Literal, Protocol, runtime_checkable

from msgspec import Struct

from service.providers.errors import ErrorKind, ProviderError, ProvidersUnavailable, UnknownModel

__all__ = [
    "CanonicalRequest",
    "CanonicalResponse",
    "EmbeddingRequest",
    "EmbeddingResponse",
    "ErrorKind",
    "FinishReason",
    "Image",
    "Message",
    "Part",
    "Provider",
    "ProviderError",
    "ProvidersUnavailable",
    "ResponseFormat",
    "StreamEnd",
    "StreamEvent",
    "StreamStart",
    "Text",
    "TextDelta",
    "Thinking",
    "ThinkingDelta",
    "Timeouts",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallStart",
    "ToolChoice",
    "ToolResult",
    "UnknownModel",
    "Usage",
]

Role = Literal["system", "user", "assistant"]
# `stop`: the model was done. `stop_sequence`: it met one of the request's stop strings, where the
# provider tells the difference (OpenAI's format does not, and shows both as "stop").
FinishReason = Literal["stop", "stop_sequence", "length", "tool_calls", "content_filter"]
JSON = dict[str, Any]


# --- what is said -----------------------------------------------------------------------------------


class Text(Struct, frozen=True, tag="text", omit_defaults=True):
    """Plain text. `cache` asks for a prompt-cache breakpoint after it: "", "5m" or "1h" (Anthropic)."""

    text: str
    cache: str = ""


class Image(Struct, frozen=True, tag="image"):
    """An image: either `url`, or base64 `data` with its `media_type`."""

    url: str = ""
    data: str = ""
    media_type: str = ""
    detail: str = ""  # OpenAI: auto, low, high


class ToolCall(Struct, frozen=True, tag="tool_call"):
    """The model asks for a function. `arguments` is JSON text exactly as the model wrote it."""

    id: str
    name: str
    arguments: str
    signature: str = ""  # Gemini's thought signature, sent back unchanged


class ToolResult(Struct, frozen=True, tag="tool_result"):
    """What the function returned; stands in a user message (OpenAI's role `tool` becomes one)."""

    call_id: str
    parts: tuple[Text | Image, ...]
    is_error: bool = False
    name: str = ""  # of the function, when the client said; Gemini wants it
    cache: str = ""


class Thinking(Struct, frozen=True, tag="thinking"):
    """Reasoning the provider shows; `signature` and `redacted` go back to it unchanged."""

    text: str = ""
    signature: str = ""
    redacted: str = ""


Part = Text | Image | ToolCall | ToolResult | Thinking


class Message(Struct, frozen=True, omit_defaults=True):
    """One turn. System messages may stand anywhere; adapters move them where the provider wants them."""

    role: Role
    parts: tuple[Part, ...]
    name: str = ""


# --- what is asked ----------------------------------------------------------------------------------


class Tool(Struct, frozen=True):
    """A function the model may call; `parameters` is a JSON schema."""

    name: str
    description: str = ""
    parameters: JSON | None = None
    strict: bool | None = None
    cache: str = ""


class ToolChoice(Struct, frozen=True):
    """`tool` forces the function `name`; `required` forces any."""

    mode: Literal["auto", "none", "required", "tool"] = "auto"
    name: str = ""


class ResponseFormat(Struct, frozen=True):
    """`json_object`: any JSON. `json_schema`: JSON that fits `schema`."""

    kind: Literal["text", "json_object", "json_schema"] = "text"
    name: str = "response"
    schema: JSON | None = None
    strict: bool | None = None
    description: str = ""


class CanonicalRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A chat request. `None` means: not said by the client, the provider's default holds."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    reasoning_effort: str | None = None  # minimal, low, medium, high
    thinking_budget: int | None = None  # tokens; Anthropic's and Gemini's way to say it
    user: str | None = None


class EmbeddingRequest(Struct, frozen=True, kw_only=True):
    """Texts to embed, in order."""

    model: str
    inputs: tuple[str, ...]
    dimensions: int | None = None
    user: str | None = None


# --- what comes back --------------------------------------------------------------------------------


class Usage(Struct, frozen=True, omit_defaults=True):
    """Tokens of one call; see the module's convention. `estimated`: the provider did not tell."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_1h_tokens: int = 0  # part of cache_write_tokens, at Anthropic's dearer price
    estimated: bool = False


class CanonicalResponse(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A whole answer. `model` is what the provider says it used."""

    id: str
    model: str
    parts: tuple[Text | ToolCall | Thinking, ...]
    finish: FinishReason
    usage: Usage
    stop_sequence: str | None = None

    @property
    def text(self) -> str:
        return "".join([part.text for part in self.parts if type(part) is Text])


class EmbeddingResponse(Struct, frozen=True, kw_only=True):
    """One vector per input, in order."""

    model: str
    vectors: tuple[list[float], ...]
    usage: Usage


class StreamStart(Struct, frozen=True, gc=False):
    """First event of every stream. `input_tokens` is 0 where the provider tells only at the end."""

    id: str
    model: str
    input_tokens: int = 0


class TextDelta(Struct, frozen=True, gc=False):
    text: str


class ThinkingDelta(Struct, frozen=True, gc=False):
    """A piece of reasoning; a non-empty `signature` or `redacted` closes the block."""

    text: str = ""
    signature: str = ""
    redacted: str = ""


class ToolCallStart(Struct, frozen=True, gc=False):
    """`index` counts tool calls from 0; calls may interleave only where the provider does so. At least one
    `ToolCallDelta` follows: the arguments of a call without any are "{}".
    """

    index: int
    id: str
    name: str
    signature: str = ""


class ToolCallDelta(Struct, frozen=True, gc=False):
    index: int
    arguments: str


class StreamEnd(Struct, frozen=True, gc=False):
    """Last event of every whole stream. A stream without it was cut: `ProviderError` is raised."""

    finish: FinishReason
    usage: Usage
    stop_sequence: str | None = None


StreamEvent = StreamStart | TextDelta | ThinkingDelta | ToolCallStart | ToolCallDelta | StreamEnd


# --- who answers ------------------------------------------------------------------------------------


class Timeouts(Struct, frozen=True):
    """Seconds. Each is also bounded by what is left until the call's deadline."""

    connect: float = 5.0
    first_token: float = 60.0
    between_tokens: float = 30.0
    total: float = 300.0


@runtime_checkable
class Provider(Protocol):
    """One upstream account. Every method raises `ProviderError` and nothing else (but cancellation).

    `models` are the names the upstream knows. Closing the generator of `stream` (or cancelling its
    task) closes the upstream connection at once.
    """

    name: str
    kind: str
    models: tuple[str, ...]

    async def complete(self, request: CanonicalRequest, deadline: float) -> CanonicalResponse: ...

    def stream(self, request: CanonicalRequest, deadline: float) -> AsyncGenerator[StreamEvent, None]: ...

    async def embed(self, request: EmbeddingRequest, deadline: float) -> EmbeddingResponse: ...

    async def check(self, deadline: float) -> None:
        """Return when the provider can take requests, else raise. Costs no tokens where possible."""

    async def close(self) -> None: ...
