"""Anthropic's Messages format, from our side of the wire: requests out. Pure functions.

Format: https://platform.claude.com/docs/en/api/messages, 2026-11.
"""

from __future__ import annotations

from typing import Final

import msgspec

from service.providers.base import (
    JSON,
    CanonicalRequest,
    Image,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)

# Anthropic demands a limit; this one every current model accepts.
DEFAULT_MAX_TOKENS: Final = 8_192
LEAST_BUDGET: Final = 1_024

# Models that still take temperature, top_p, top_k, a thinking budget and a prefilled answer. Since
# Opus 4.7 these are errors: platform.claude.com, "Migrating to Claude Opus 4.7".
CLASSIC: Final = (
    *("claude-2", "claude-3", "claude-haiku-4", "claude-sonnet-4"),
    *("claude-opus-4-0", "claude-opus-4-1", "claude-opus-4-2", "claude-opus-4-5", "claude-opus-4-6"),
)
BUDGET_OF_EFFORT: Final = {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 32_768}
EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high"}


def classic(model: str) -> bool:
    """Whether sampling parameters and thinking budgets may be sent to this model."""
    name = model[model.find("claude-") :] if "claude-" in model else model
    return name.startswith(CLASSIC)


def render(request: CanonicalRequest, *, stream: bool) -> JSON:
    """The body of a Messages request."""
    system: list[JSON] = []
    messages: list[JSON] = []
    for message in request.messages:
        if message.role == "system":
            texts = [part for part in message.parts if isinstance(part, Text)]
            system.extend([block(part) for part in texts if not _empty(part)])
            continue
        blocks = [block(part) for part in message.parts if not _empty(part)]
        if not blocks:
            continue
        if messages and messages[-1]["role"] == message.role:
            messages[-1]["content"].extend(blocks)
        else:
            messages.append({"role": message.role, "content": blocks})
    for entry in messages:
        # Results must come before anything else in their message.
        entry["content"].sort(key=lambda item: item["type"] != "tool_result")
    body: JSON = {
        "model": request.model,
        "messages": messages,
        "max_tokens": request.max_tokens or DEFAULT_MAX_TOKENS,
    }
    if system:
        body["system"] = system
    if stream:
        body["stream"] = True
    if request.stop:
        body["stop_sequences"] = [stop for stop in request.stop if stop.strip()]
    if request.user:
        body["metadata"] = {"user_id": request.user}
    _tools(request, body)
    _thinking(request, body)
    _sampling(request, body)
    form = request.response_format
    if form is not None and form.kind == "json_schema":
        body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": form.schema or {}}
    elif form is not None and form.kind == "json_object":
        body.setdefault("system", []).append(
            {"type": "text", "text": "Answer with one JSON object and nothing else."}
        )
    return body


def _empty(part: Part) -> bool:
    """Anthropic refuses blank text, and reasoning that it did not sign itself."""
    if isinstance(part, Text):
        return not part.text.strip()
    return isinstance(part, Thinking) and not part.signature and not part.redacted


def block(part: Part) -> JSON:
    """One content block."""
    out: JSON
    if isinstance(part, Text):
        out = {"type": "text", "text": part.text}
    elif isinstance(part, Image):
        source = (
            {"type": "url", "url": part.url}
            if part.url
            else {"type": "base64", "media_type": part.media_type, "data": part.data}
        )
        return {"type": "image", "source": source}
    elif isinstance(part, ToolCall):
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": arguments(part.arguments)}
    elif isinstance(part, ToolResult):
        out = {"type": "tool_result", "tool_use_id": part.call_id}
        inner = [block(one) for one in part.parts if not _empty(one)]
        if inner:
            out["content"] = inner
        if part.is_error:
            out["is_error"] = True
    elif part.redacted:
        return {"type": "redacted_thinking", "data": part.redacted}
    else:
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    if part.cache:
        out["cache_control"] = _cache(part.cache)
    return out


def _cache(ttl: str) -> JSON:
    return {"type": "ephemeral"} if ttl == "5m" else {"type": "ephemeral", "ttl": ttl}


def arguments(text: str) -> JSON:
    """Arguments as the object Anthropic demands; what another model wrote wrongly is kept as text."""
    try:
        value = msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        return {"arguments": text}
    return value if isinstance(value, dict) else {"arguments": value}


def _tools(request: CanonicalRequest, body: JSON) -> None:
    if not request.tools:
        return
    tools: list[JSON] = []
    for tool in request.tools:
        schema = dict(tool.parameters or {})
        schema.setdefault("type", "object")
        entry: JSON = {"name": tool.name, "input_schema": schema}
        if tool.description:
            entry["description"] = tool.description
        if tool.strict is not None:
            entry["strict"] = tool.strict
        if tool.cache:
            entry["cache_control"] = _cache(tool.cache)
        tools.append(entry)
    body["tools"] = tools
    choice = request.tool_choice
    mode = choice.mode if choice is not None else "auto"
    wanted: JSON = {"type": {"required": "any"}.get(mode, mode)}
    if choice is not None and mode == "tool":
        wanted["name"] = choice.name
    if request.parallel_tool_calls is not None and mode != "none":
        wanted["disable_parallel_tool_use"] = not request.parallel_tool_calls
    if choice is not None or len(wanted) > 1:
        body["tool_choice"] = wanted


def _thinking(request: CanonicalRequest, body: JSON) -> None:
    budget, effort = request.thinking_budget, request.reasoning_effort
    if not classic(request.model):
        if effort is not None and effort != "none":
            body.setdefault("output_config", {})["effort"] = EFFORTS.get(effort, effort)
        if (effort not in (None, "none") or budget) and _may_think(body):
            body["thinking"] = {"type": "adaptive", "display": "summarized"}
        return
    if budget is None and effort is not None and effort != "none":
        budget = BUDGET_OF_EFFORT.get(effort, BUDGET_OF_EFFORT["high"])
    if not budget or not _may_think(body):
        return
    room = body["max_tokens"]
    if request.max_tokens is None:
        room = body["max_tokens"] = budget + DEFAULT_MAX_TOKENS
    budget = min(budget, room - 1)
    if budget >= LEAST_BUDGET:
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _may_think(body: JSON) -> bool:
    """Not with a forced tool, and not in the middle of a turn that began without thinking."""
    if body.get("tool_choice", {}).get("type") in ("any", "tool"):
        return False
    if body["messages"] and body["messages"][-1]["role"] == "user":
        asked = [item["type"] for item in body["messages"][-1]["content"]]
        if "tool_result" in asked and len(body["messages"]) > 1:
            begun = body["messages"][-2]["content"][0]["type"]
            return begun in ("thinking", "redacted_thinking")
    return True


def _sampling(request: CanonicalRequest, body: JSON) -> None:
    """Thinking forbids them, newer models too; of temperature and top_p only one may be said."""
    if not classic(request.model) or "thinking" in body:
        return
    if request.temperature is not None:
        body["temperature"] = min(request.temperature, 1.0)  # OpenAI's scale goes to 2
    elif request.top_p is not None:
        body["top_p"] = request.top_p
    if request.top_k:
        body["top_k"] = request.top_k
