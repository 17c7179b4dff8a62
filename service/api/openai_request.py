"""OpenAI's chat completions: their request into ours. Pure functions; `openai_answer` is the way back.

Format: https://platform.openai.com/docs/api-reference/chat (checked against the official SDK's types).
Fields that OpenAI knows and this gateway does not act on (`store`, `metadata`, …) are ignored; those whose
absence would change the answer (`logprobs`, audio) are refused. `n` is not the model's: see `choices`.
"""

from __future__ import annotations

from itertools import count
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from service.api.choices import MAX_CHOICES
from service.api.errors import ApiError
from service.providers.base import (
    CanonicalRequest,
    Image,
    Message,
    Part,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

encode = msgspec.json.encode


class ImageUrl(Struct):
    url: str
    detail: str | None = None


class TextPart(Struct, tag_field="type", tag="text"):
    text: str


class ImagePart(Struct, tag_field="type", tag="image_url"):
    image_url: ImageUrl


class RefusalPart(Struct, tag_field="type", tag="refusal"):
    refusal: str


Content = str | list[TextPart | ImagePart | RefusalPart] | None


class FunctionCall(Struct):
    name: str
    arguments: str = ""


class ToolCallIn(Struct):
    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class MessageIn(Struct):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content = None
    name: str | None = None
    tool_calls: list[ToolCallIn] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None


class FunctionIn(Struct):
    name: Annotated[str, Meta(min_length=1, max_length=128)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolIn(Struct):
    function: FunctionIn
    type: Literal["function"] = "function"


class NamedFunction(Struct):
    name: str


class ToolChoiceIn(Struct):
    function: NamedFunction
    type: Literal["function"] = "function"


class JsonSchemaIn(Struct):
    name: str = "response"
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class ResponseFormatIn(Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaIn | None = None


class StreamOptions(Struct):
    include_usage: bool = False


Probability = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Count = Annotated[int, Meta(ge=1, le=10_000_000)]


class ChatRequest(Struct):
    """The body of `POST /v1/chat/completions`."""

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    messages: Annotated[list[MessageIn], Meta(min_length=1, max_length=10_000)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Probability | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=16)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    response_format: ResponseFormatIn | None = None
    tools: Annotated[list[ToolIn], Meta(max_length=1024)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoiceIn | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    user: Annotated[str, Meta(max_length=512)] | None = None
    logprobs: bool | None = None
    audio: dict[str, Any] | None = None
    modalities: list[str] | None = None


DECODER: Final = msgspec.json.Decoder(ChatRequest)


def parse(request: ChatRequest) -> CanonicalRequest:
    """Theirs into ours. Raises `ApiError` 400 with `param` for what cannot be done."""
    if request.logprobs:
        raise ApiError(400, "'logprobs' is not supported: leave it out.", param="logprobs")
    if request.audio is not None:
        raise ApiError(400, "Audio is not supported: leave 'audio' out.", param="audio")
    if request.modalities is not None and request.modalities != ["text"]:
        raise ApiError(400, "Only the modality 'text' is supported.", param="modalities")
    choice, form, stop = request.tool_choice, request.response_format, request.stop
    return CanonicalRequest(
        model=request.model,
        messages=tuple(map(_message, request.messages, count())),
        tools=tuple([_tool(one) for one in request.tools]) if request.tools else (),
        tool_choice=None if choice is None else _tool_choice(choice),
        parallel_tool_calls=request.parallel_tool_calls,
        response_format=None if form is None else _response_format(form),
        max_tokens=request.max_completion_tokens or request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        stop=() if stop is None else (stop,) if isinstance(stop, str) else tuple(stop),
        seed=request.seed,
        frequency_penalty=request.frequency_penalty,
        presence_penalty=request.presence_penalty,
        reasoning_effort=request.reasoning_effort,
        user=request.user,
    )


def _message(message: MessageIn, index: int) -> Message:
    role = message.role
    content = message.content
    if role == "user" and type(content) is str:
        return Message("user", (Text(content),), message.name or "")
    if role == "system" or role == "developer":
        return Message("system", _parts(content, index, required=True), message.name or "")
    if role == "tool":
        return Message("user", (_tool_result(message, index),))
    if role == "assistant":
        return Message("assistant", _assistant(message, index), message.name or "")
    return Message("user", _parts(content, index, required=True), message.name or "")


def _parts(content: Content, index: int, *, required: bool) -> tuple[Text | Image, ...]:
    if content is None:
        if required:
            raise ApiError(
                400, f"'messages[{index}].content' is required.", param=f"messages[{index}].content"
            )
        return ()
    if isinstance(content, str):
        return (Text(content),)
    return tuple([_part(part) for part in content])


def _part(part: TextPart | ImagePart | RefusalPart) -> Text | Image:
    if isinstance(part, TextPart):
        return Text(part.text)
    if isinstance(part, RefusalPart):
        return Text(part.refusal)
    return _image(part.image_url)


def _image(image: ImageUrl) -> Image:
    """A data URL carries its type and base64 data; anything else is left to the provider to fetch."""
    detail = image.detail or ""
    if image.url.startswith("data:"):
        head, comma, data = image.url[5:].partition(",")
        if not comma or not head.endswith(";base64"):
            raise ApiError(
                400, "An image's data URL must read 'data:<type>;base64,<data>'.", param="messages"
            )
        return Image(data=data, media_type=head.removesuffix(";base64"), detail=detail)
    return Image(url=image.url, detail=detail)


def _tool_result(message: MessageIn, index: int) -> ToolResult:
    if not message.tool_call_id:
        param = f"messages[{index}].tool_call_id"
        raise ApiError(400, f"'{param}' is required in a message of role 'tool'.", param=param)
    return ToolResult(
        message.tool_call_id, _parts(message.content, index, required=True), name=message.name or ""
    )


def _assistant(message: MessageIn, index: int) -> tuple[Part, ...]:
    parts: list[Part] = []
    if message.reasoning_content:
        parts.append(Thinking(message.reasoning_content))
    parts.extend(_parts(message.content, index, required=False))
    if message.refusal:
        parts.append(Text(message.refusal))
    for call in message.tool_calls or ():
        parts.append(ToolCall(call.id, call.function.name, call.function.arguments))
    if not parts:
        param = f"messages[{index}].content"
        raise ApiError(400, f"'{param}' is required unless 'tool_calls' is given.", param=param)
    return tuple(parts)


def _tool(tool: ToolIn) -> Tool:
    function = tool.function
    return Tool(function.name, function.description or "", function.parameters, function.strict)


def _tool_choice(choice: str | ToolChoiceIn) -> ToolChoice:
    if isinstance(choice, ToolChoiceIn):
        return ToolChoice("tool", choice.function.name)
    return ToolChoice(choice)  # type: ignore[arg-type]  # the decoder admits these three only


def _response_format(wanted: ResponseFormatIn) -> ResponseFormat:
    if wanted.type == "json_schema":
        schema = wanted.json_schema
        if schema is None:
            param = "response_format.json_schema"
            raise ApiError(400, f"'{param}' is required for the type 'json_schema'.", param=param)
        return ResponseFormat(
            "json_schema", schema.name, schema.schema, schema.strict, schema.description or ""
        )
    return ResponseFormat(wanted.type)
