"""OpenAI's chat format, from our side of the wire: requests out, answers and chunks in. Pure functions."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from service.providers.base import (
    JSON,
    CanonicalRequest,
    FinishReason,
    Image,
    Message,
    ProviderError,
    ResponseFormat,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
)
from service.providers.flavours import Flavour

# --- out --------------------------------------------------------------------------------------------


def render(request: CanonicalRequest, flavour: Flavour, *, stream: bool) -> JSON:
    """The body of a chat request for this flavour."""
    messages: list[JSON] = []
    for message in request.messages:
        _message(message, flavour, messages)
    body: JSON = {"model": request.model, "messages": messages}
    if stream:
        body["stream"] = True
        if flavour.stream_usage:
            body["stream_options"] = {"include_usage": True}
    if request.max_tokens is not None:
        body[flavour.max_tokens_field] = request.max_tokens
    dropped = flavour.dropped
    if request.temperature is not None and "temperature" not in dropped:
        body["temperature"] = request.temperature
    if request.top_p is not None and "top_p" not in dropped:
        body["top_p"] = request.top_p
    if request.top_k is not None and "top_k" not in dropped:
        body["top_k"] = request.top_k
    if request.seed is not None and "seed" not in dropped:
        body["seed"] = request.seed
    if request.frequency_penalty is not None and "frequency_penalty" not in dropped:
        body["frequency_penalty"] = request.frequency_penalty
    if request.presence_penalty is not None and "presence_penalty" not in dropped:
        body["presence_penalty"] = request.presence_penalty
    if request.user is not None and "user" not in dropped:
        body["user"] = request.user
    if request.stop:
        body["stop"] = list(request.stop)
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        if request.tool_choice is not None:
            choice = request.tool_choice
            body["tool_choice"] = (
                {"type": "function", "function": {"name": choice.name}}
                if choice.mode == "tool"
                else choice.mode
            )
        if request.parallel_tool_calls is not None and "parallel_tool_calls" not in dropped:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    if request.response_format is not None and request.response_format.kind != "text":
        _response_format(request.response_format, flavour, body)
    if request.reasoning_effort is not None or request.thinking_budget is not None:
        _reasoning(request, flavour, body)
    return body


def _message(message: Message, flavour: Flavour, out: list[JSON]) -> None:
    parts = message.parts
    if message.role == "assistant":
        out.append(_assistant(parts, flavour))
        return
    if len(parts) == 1 and type(parts[0]) is Text:
        shown: Any = parts[0].text
    else:
        rest: list[Text | Image] = []
        for part in parts:
            if type(part) is ToolResult:
                texts = [inner.text for inner in part.parts if type(inner) is Text]
                out.append({"role": "tool", "tool_call_id": part.call_id, "content": "\n".join(texts)})
                # Tool messages hold text only: images follow in a message of the user.
                rest.extend([inner for inner in part.parts if type(inner) is Image])
            elif isinstance(part, Text | Image):
                rest.append(part)
        if not rest:
            if not any(type(part) is ToolResult for part in parts):
                out.append({"role": message.role, "content": ""})
            return
        shown = _content(rest, flavour)
    entry: JSON = {"role": message.role, "content": shown}
    if message.name:
        entry["name"] = message.name
    out.append(entry)


def _content(parts: list[Text | Image], flavour: Flavour) -> Any:
    if all(type(part) is Text for part in parts) and (len(parts) == 1 or not flavour.content_lists):
        return "\n\n".join([part.text for part in parts if type(part) is Text])
    return [_content_part(part) for part in parts]


def _content_part(part: Text | Image) -> JSON:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    image: JSON = {"url": part.url or f"data:{part.media_type};base64,{part.data}"}
    if part.detail:
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}


def _assistant(parts: tuple[Any, ...], flavour: Flavour) -> JSON:
    text = "".join([part.text for part in parts if type(part) is Text])
    calls = [part for part in parts if type(part) is ToolCall]
    entry: JSON = {"role": "assistant", "content": text or (None if calls else "")}
    if calls:
        entry["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments or "{}"},
            }
            for call in calls
        ]
        if flavour.sends_back_reasoning:
            entry["reasoning_content"] = "".join([part.text for part in parts if type(part) is Thinking])
    return entry


def _tool(tool: Any) -> JSON:
    function: JSON = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _response_format(form: ResponseFormat, flavour: Flavour, body: JSON) -> None:
    if form.kind == "json_schema" and flavour.json_schema:
        schema: JSON = {"name": form.name, "schema": form.schema or {}}
        if form.strict is not None:
            schema["strict"] = form.strict
        if form.description:
            schema["description"] = form.description
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return
    body["response_format"] = {"type": "json_object"}
    if form.kind == "json_schema":
        # The schema must reach a model whose server cannot enforce it.
        wanted = msgspec.json.encode(form.schema or {}).decode()
        body["messages"].append(
            {"role": "system", "content": f"Answer with JSON that fits this schema: {wanted}"}
        )


def _reasoning(request: CanonicalRequest, flavour: Flavour, body: JSON) -> None:
    if flavour.thinking_switch:
        if request.thinking_budget is not None:
            body["enable_thinking"] = request.thinking_budget > 0
            if request.thinking_budget > 0:
                body["thinking_budget"] = request.thinking_budget
    elif "reasoning_effort" not in flavour.dropped:
        effort = request.reasoning_effort
        if effort is None and request.thinking_budget:
            effort = effort_of(request.thinking_budget)
        if effort is not None:
            body["reasoning_effort"] = effort


def effort_of(budget: int) -> str:
    """The effort that a budget of thinking tokens means, for providers that know only efforts."""
    return "low" if budget <= 4_096 else "medium" if budget <= 16_384 else "high"


# --- in ---------------------------------------------------------------------------------------------


class WireFunction(Struct, frozen=True):
    name: str | None = None
    arguments: str | JSON | None = None

    def text(self) -> str:
        given = self.arguments
        return given if isinstance(given, str) else msgspec.json.encode(given or {}).decode()


class WireToolCall(Struct):
    function: WireFunction = WireFunction()
    id: str | None = None
    index: int | None = None


class WireMessage(Struct):
    content: str | list[Any] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None  # DeepSeek, Qwen, vLLM
    reasoning: str | None = None  # Cerebras, Ollama, newer vLLM
    tool_calls: list[WireToolCall] | None = None


class WireChoice(Struct):
    message: WireMessage | None = None
    delta: WireMessage | None = None
    finish_reason: str | None = None
    index: int = 0


class WireDetails(Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


NO_DETAILS: Final = WireDetails()


class WireUsage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: WireDetails | None = None
    completion_tokens_details: WireDetails | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek

    def usage(self) -> Usage:
        asked = self.prompt_tokens_details or NO_DETAILS
        answered = self.completion_tokens_details or NO_DETAILS
        return Usage(
            self.prompt_tokens or 0,
            self.completion_tokens or 0,
            asked.cached_tokens or self.prompt_cache_hit_tokens or 0,
            asked.cache_write_tokens or 0,
            answered.reasoning_tokens or 0,
        )


class WireAnswer(Struct):
    """A whole answer or one chunk of a stream."""

    id: str | None = None
    model: str | None = None
    choices: list[WireChoice] | None = None
    usage: WireUsage | None = None
    error: Any = None


class WireVector(Struct):
    embedding: list[float]
    index: int = 0


class WireEmbeddings(Struct):
    data: list[WireVector]
    model: str | None = None
    usage: WireUsage | None = None


ANSWER: Final = msgspec.json.Decoder(WireAnswer)
EMBEDDINGS: Final = msgspec.json.Decoder(WireEmbeddings)

FINISH: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


def finish_of(reason: str | None, *, calls: bool, refused: bool) -> FinishReason:
    """Our finish reason. Raises `ProviderError` when the server broke off (DeepSeek says it here)."""
    if reason in ("insufficient_system_resource", "error", "abort"):
        raise ProviderError("overloaded", f"the provider broke off: {reason}")
    if refused:
        return "content_filter"
    finish = FINISH.get(reason or "", "stop")
    # Some servers say "stop" after a tool call; clients go by the reason.
    return "tool_calls" if calls and finish == "stop" else finish


def content_text(content: str | list[Any] | None) -> str:
    """Text of a content that may be a list of parts."""
    if isinstance(content, str):
        return content
    return "".join([part.get("text") or "" for part in content or () if isinstance(part, dict)])
