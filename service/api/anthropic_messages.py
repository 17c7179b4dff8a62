"""Anthropic's Messages API: their request into ours. Pure functions; `anthropic_answer` is the way back.

Format: https://platform.claude.com/docs/en/api/messages (checked against the official SDK's types).
Fields that change nothing here (`service_tier`, `citations`, …) are ignored; documents, server tools and
what else would silently be lost are refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

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


class CacheControl(Struct):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] = "5m"


class TextBlock(Struct, tag="text"):
    text: str
    cache_control: CacheControl | None = None


class Base64Source(Struct, tag="base64"):
    data: str
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]


class UrlSource(Struct, tag="url"):
    url: str


class ImageBlock(Struct, tag="image"):
    source: Base64Source | UrlSource


class ToolUseBlock(Struct, tag="tool_use"):
    id: Annotated[str, Meta(min_length=1)]
    name: Annotated[str, Meta(min_length=1)]
    input: dict[str, Any]


class ToolResultBlock(Struct, tag="tool_result"):
    tool_use_id: str
    content: str | list[TextBlock | ImageBlock] | None = None
    is_error: bool = False
    cache_control: CacheControl | None = None


class ThinkingBlock(Struct, tag="thinking"):
    thinking: str
    signature: str = ""


class RedactedThinkingBlock(Struct, tag="redacted_thinking"):
    data: str


Block = TextBlock | ImageBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock | RedactedThinkingBlock


class MessageIn(Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class ToolIn(Struct):
    name: Annotated[str, Meta(min_length=1, max_length=128)]
    input_schema: dict[str, Any] | None = None
    description: str | None = None
    type: str | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None


class ToolChoiceIn(Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingIn(Struct):
    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Annotated[int, Meta(ge=1024)] | None = None


class FormatIn(Struct):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(Struct):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: FormatIn | None = None


class Metadata(Struct):
    user_id: Annotated[str, Meta(max_length=512)] | None = None


class MessagesRequest(Struct):
    """The body of `POST /v1/messages`."""

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    messages: Annotated[list[MessageIn], Meta(min_length=1, max_length=100_000)]
    max_tokens: Annotated[int, Meta(ge=1, le=10_000_000)]
    stream: bool | None = None
    system: str | list[TextBlock] | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31)] | None = None
    stop_sequences: Annotated[list[str], Meta(max_length=8192)] | None = None
    tools: Annotated[list[ToolIn], Meta(max_length=1024)] | None = None
    tool_choice: ToolChoiceIn | None = None
    thinking: ThinkingIn | None = None
    output_config: OutputConfig | None = None
    metadata: Metadata | None = None


DECODER: Final = msgspec.json.Decoder(MessagesRequest)
MODES: Final[dict[str, Literal["auto", "none", "required", "tool"]]] = {
    "auto": "auto",
    "any": "required",
    "tool": "tool",
    "none": "none",
}


def parse(request: MessagesRequest) -> CanonicalRequest:
    """Theirs into ours. Raises `ApiError` 400 with `param` for what cannot be done."""
    messages: list[Message] = []
    if request.system:
        messages.append(Message("system", _system(request.system)))
    for index, message in enumerate(request.messages):
        messages.append(_message(message, index))
    choice = request.tool_choice
    config = request.output_config
    return CanonicalRequest(
        model=request.model,
        messages=tuple(messages),
        tools=tuple([_tool(tool, index) for index, tool in enumerate(request.tools or ())]),
        tool_choice=_tool_choice(choice) if choice is not None else None,
        parallel_tool_calls=False if choice is not None and choice.disable_parallel_tool_use else None,
        response_format=(
            ResponseFormat("json_schema", schema=config.format.schema)
            if config is not None and config.format is not None
            else None
        ),
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        stop=tuple(request.stop_sequences or ()),
        reasoning_effort=_effort(request.thinking, config),
        thinking_budget=_budget(request),
        user=request.metadata.user_id if request.metadata is not None else None,
    )


def _system(system: str | list[TextBlock]) -> tuple[Text, ...]:
    if isinstance(system, str):
        return (Text(system),)
    return tuple([_text(block) for block in system])


def _message(message: MessageIn, index: int) -> Message:
    content = message.content
    if isinstance(content, str):
        return Message(message.role, (Text(content),))
    allowed = ALLOWED[message.role]
    parts: list[Part] = []
    for at, block in enumerate(content):
        if not isinstance(block, allowed):
            kind = type(block).__struct_config__.tag
            param = f"messages[{index}].content[{at}]"
            raise ApiError(400, f"'{kind}' may not stand in a message of role '{message.role}'.", param=param)
        parts.append(_part(block))
    return Message(message.role, tuple(parts))


ALLOWED: Final[dict[str, tuple[type[Struct], ...]]] = {
    "user": (TextBlock, ImageBlock, ToolResultBlock),
    "assistant": (TextBlock, ToolUseBlock, ThinkingBlock, RedactedThinkingBlock),
    "system": (TextBlock,),
}


def _part(block: Block) -> Part:
    if isinstance(block, TextBlock):
        return _text(block)
    if isinstance(block, ImageBlock):
        return _image(block)
    if isinstance(block, ToolUseBlock):
        return ToolCall(block.id, block.name, msgspec.json.encode(block.input).decode())
    if isinstance(block, ToolResultBlock):
        return _result(block)
    if isinstance(block, ThinkingBlock):
        return Thinking(block.thinking, block.signature)
    return Thinking(redacted=block.data)


def _text(block: TextBlock) -> Text:
    return Text(block.text, block.cache_control.ttl if block.cache_control is not None else "")


def _image(block: ImageBlock) -> Image:
    source = block.source
    if isinstance(source, UrlSource):
        return Image(url=source.url)
    return Image(data=source.data, media_type=source.media_type)


def _result(block: ToolResultBlock) -> ToolResult:
    content = block.content
    parts: tuple[Text | Image, ...]
    if content is None or isinstance(content, str):
        parts = (Text(content or ""),)
    else:
        parts = tuple([_text(one) if isinstance(one, TextBlock) else _image(one) for one in content])
    cache = block.cache_control.ttl if block.cache_control is not None else ""
    return ToolResult(block.tool_use_id, parts, block.is_error, cache=cache)


def _tool(tool: ToolIn, index: int) -> Tool:
    if tool.type not in (None, "custom"):
        param = f"tools[{index}].type"
        raise ApiError(400, f"Server tools are not supported: '{param}' may only be 'custom'.", param=param)
    if tool.input_schema is None:
        param = f"tools[{index}].input_schema"
        raise ApiError(400, f"'{param}' is required.", param=param)
    cache = tool.cache_control.ttl if tool.cache_control is not None else ""
    return Tool(tool.name, tool.description or "", tool.input_schema, tool.strict, cache)


def _tool_choice(choice: ToolChoiceIn) -> ToolChoice:
    if choice.type == "tool" and not choice.name:
        raise ApiError(400, "'tool_choice.name' is required for the type 'tool'.", param="tool_choice.name")
    return ToolChoice(MODES[choice.type], choice.name or "")


def _effort(thinking: ThinkingIn | None, config: OutputConfig | None) -> str | None:
    if config is not None and config.effort is not None:
        return config.effort
    # Adaptive thinking without an effort thinks as with "high": platform.claude.com, "Effort".
    return "high" if thinking is not None and thinking.type in ("adaptive", "between_tools") else None


def _budget(request: MessagesRequest) -> int | None:
    thinking = request.thinking
    if thinking is None or thinking.type in ("adaptive", "between_tools"):
        return None
    if thinking.type == "disabled":
        return 0
    if thinking.budget_tokens is None:
        param = "thinking.budget_tokens"
        raise ApiError(400, f"'{param}' is required when thinking is enabled.", param=param)
    if thinking.budget_tokens >= request.max_tokens:
        param = "thinking.budget_tokens"
        raise ApiError(400, f"'{param}' must be less than 'max_tokens'.", param=param)
    return thinking.budget_tokens
