"""AWS Bedrock's Converse format, from our side of the wire. Pure functions.

Format: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, checked against the
service model that botocore ships.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from service.providers import anthropic_wire
from service.providers.base import (
    JSON,
    CanonicalRequest,
    FinishReason,
    Image,
    Part,
    ProviderError,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
)

FORMATS: Final = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}


def render(request: CanonicalRequest) -> JSON:
    """The body of Converse and ConverseStream. Raises `ProviderError` for what Converse cannot carry."""
    system: list[JSON] = []
    messages: list[JSON] = []
    for message in request.messages:
        blocks = [one for part in message.parts for one in _blocks(part)]
        if message.role == "system":
            system.extend(blocks)
        elif blocks and messages and messages[-1]["role"] == message.role:
            messages[-1]["content"].extend(blocks)
        elif blocks:
            messages.append({"role": message.role, "content": blocks})
    body: JSON = {"messages": messages}
    if system:
        body["system"] = system
    _tools(request, body)
    extra = _thinking(request, body)
    _inference(request, body, extra)
    form = request.response_format
    if form is not None and form.kind == "json_schema":
        schema: JSON = {"schema": msgspec.json.encode(form.schema or {}).decode(), "name": form.name}
        if form.description:
            schema["description"] = form.description
        body.setdefault("outputConfig", {})["textFormat"] = {
            "type": "json_schema",
            "structure": {"jsonSchema": schema},
        }
    elif form is not None and form.kind == "json_object":
        body.setdefault("system", []).append({"text": "Answer with one JSON object and nothing else."})
    if extra:
        body["additionalModelRequestFields"] = extra
    return body


def _blocks(part: Part) -> list[JSON]:
    if isinstance(part, Text):
        return [{"text": part.text}, *_cache_point(part.cache)] if part.text.strip() else []
    if isinstance(part, Image):
        return [_image(part)]
    if isinstance(part, ToolCall):
        used = {"toolUseId": part.id, "name": part.name, "input": anthropic_wire.arguments(part.arguments)}
        return [{"toolUse": used}]
    if isinstance(part, ToolResult):
        shown = [one for one in part.parts if not isinstance(one, Text) or one.text.strip()]
        content = [{"text": one.text} if isinstance(one, Text) else _image(one) for one in shown]
        status = "error" if part.is_error else "success"
        result = {"toolUseId": part.call_id, "content": content, "status": status}
        return [{"toolResult": result}, *_cache_point(part.cache)]
    if part.redacted:
        return [{"reasoningContent": {"redactedContent": part.redacted}}]
    if part.signature:
        return [{"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}]
    return []


def _cache_point(ttl: str) -> list[JSON]:
    if not ttl:
        return []
    return [{"cachePoint": {"type": "default"} if ttl == "5m" else {"type": "default", "ttl": ttl}}]


def _image(image: Image) -> JSON:
    if not image.data or image.media_type not in FORMATS:
        raise ProviderError("bad_request", "Bedrock takes images as base64 png, jpeg, gif or webp only")
    return {"image": {"format": FORMATS[image.media_type], "source": {"bytes": image.data}}}


def _tools(request: CanonicalRequest, body: JSON) -> None:
    choice = request.tool_choice
    used = any(isinstance(part, ToolCall) for m in request.messages for part in m.parts)
    # Converse has no "none"; without the tools themselves the model cannot call one.
    if not request.tools or (choice is not None and choice.mode == "none" and not used):
        return
    tools: list[JSON] = []
    for tool in request.tools:
        schema = {"type": "object", **(tool.parameters or {})}
        spec: JSON = {"name": tool.name, "inputSchema": {"json": schema}}
        if tool.description:
            spec["description"] = tool.description
        if tool.strict is not None:
            spec["strict"] = tool.strict
        tools += [{"toolSpec": spec}, *_cache_point(tool.cache)]
    body["toolConfig"] = {"tools": tools}
    if choice is not None and choice.mode == "tool":
        body["toolConfig"]["toolChoice"] = {"tool": {"name": choice.name}}
    elif choice is not None and choice.mode in ("auto", "required"):
        body["toolConfig"]["toolChoice"] = {"any" if choice.mode == "required" else "auto": {}}


def _thinking(request: CanonicalRequest, body: JSON) -> JSON:
    """Claude's thinking goes through as a field of the model's own; others have none."""
    budget, effort = request.thinking_budget, request.reasoning_effort
    if "claude" not in request.model or (not budget and effort in (None, "none")):
        return {}
    forced = body.get("toolConfig", {}).get("toolChoice", {})
    if "any" in forced or "tool" in forced:
        return {}
    if not anthropic_wire.classic(request.model):
        if effort is not None:
            body["outputConfig"] = {"effort": anthropic_wire.EFFORTS.get(effort, effort)}
        return {"thinking": {"type": "adaptive"}}
    if not budget:
        budget = anthropic_wire.BUDGET_OF_EFFORT.get(str(effort), 16_384)
    if request.max_tokens is not None:
        budget = min(budget, request.max_tokens - 1)
    if budget < anthropic_wire.LEAST_BUDGET:
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _inference(request: CanonicalRequest, body: JSON, extra: JSON) -> None:
    config: JSON = {}
    if request.max_tokens is not None:
        config["maxTokens"] = request.max_tokens
    elif "thinking" in extra:
        budget = extra["thinking"].get("budget_tokens", 0)
        config["maxTokens"] = budget + anthropic_wire.DEFAULT_MAX_TOKENS
    if request.stop:
        config["stopSequences"] = list(request.stop)
    claude = "claude" in request.model
    if "thinking" not in extra and (not claude or anthropic_wire.classic(request.model)):
        if request.temperature is not None:
            config["temperature"] = min(request.temperature, 1.0)
        if request.top_p is not None and not (claude and request.temperature is not None):
            config["topP"] = request.top_p
        if request.top_k and claude:
            extra["top_k"] = request.top_k
    if config:
        body["inferenceConfig"] = config


# --- in ---------------------------------------------------------------------------------------------


class WireToolUse(Struct, rename="camel"):
    tool_use_id: str = ""
    name: str = ""
    input: Any = None


class WireReasoningText(Struct):
    text: str = ""
    signature: str = ""


class WireReasoning(Struct, rename="camel"):
    reasoning_text: WireReasoningText | None = None
    text: str = ""
    signature: str = ""
    redacted_content: str = ""


class WireBlock(Struct, rename="camel"):
    """A block of a whole answer, the start of one, or a delta."""

    text: str | None = None
    tool_use: WireToolUse | None = None
    reasoning_content: WireReasoning | None = None


class WireContent(Struct):
    content: list[WireBlock]


class WireOutput(Struct):
    message: WireContent


class WireCacheDetail(Struct, rename="camel"):
    ttl: str = ""
    input_tokens: int = 0


class WireUsage(Struct, rename="camel"):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    cache_details: list[WireCacheDetail] | None = None

    def usage(self) -> Usage:
        """Theirs counts cached tokens apart, ours includes them."""
        read, write = self.cache_read_input_tokens or 0, self.cache_write_input_tokens or 0
        hour = sum([detail.input_tokens for detail in self.cache_details or () if detail.ttl == "1h"])
        return Usage(
            self.input_tokens + read + write,
            self.output_tokens,
            read,
            write,
            cache_write_1h_tokens=min(hour, write),
        )


class WireAnswer(Struct, rename="camel"):
    output: WireOutput
    stop_reason: str
    usage: WireUsage


class WireFrame(Struct, rename="camel"):
    """The payload of any event of a stream."""

    content_block_index: int = 0
    start: WireBlock | None = None
    delta: WireBlock | None = None
    stop_reason: str | None = None
    usage: WireUsage | None = None
    message: str = ""


ANSWER: Final = msgspec.json.Decoder(WireAnswer)
FRAME: Final = msgspec.json.Decoder(WireFrame)

FINISH: Final[dict[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}


def parts(content: list[WireBlock]) -> tuple[Text | ToolCall | Thinking, ...]:
    out: list[Text | ToolCall | Thinking] = []
    for block in content:
        if block.text is not None:
            out.append(Text(block.text))
        elif block.tool_use is not None:
            used = block.tool_use
            arguments = msgspec.json.encode(used.input or {}).decode()
            out.append(ToolCall(used.tool_use_id, used.name, arguments))
        elif block.reasoning_content is not None:
            reasoning = block.reasoning_content
            told = reasoning.reasoning_text or WireReasoningText()
            out.append(Thinking(told.text, told.signature, reasoning.redacted_content))
    return tuple(out)
