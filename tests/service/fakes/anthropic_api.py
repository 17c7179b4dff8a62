"""An Anthropic that refuses what Anthropic refuses: missing max_tokens, orphaned results, old headers.

`claude-fake` (a classic model's rules: `claude-sonnet-4-6`) says back what it was told; with tools it
calls the first one until results are there. Rules: platform.claude.com/docs/en/api/messages, 2026-11.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Literal

import msgspec

from tests.service.fakes.serving import FakeUpstream, Refused, Send, respond, start_stream

KEY = "sk-ant-fake-key"
MODELS = ("claude-sonnet-4-6", "claude-opus-5", "claude-slow")


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Cache(Strict):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] = "5m"


class TextB(Strict, tag="text"):
    text: str
    cache_control: Cache | None = None


class Base64(Strict, tag="base64"):
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: str


class Url(Strict, tag="url"):
    url: str


class ImageB(Strict, tag="image"):
    source: Base64 | Url


class ToolUseB(Strict, tag="tool_use"):
    id: str
    name: str
    input: dict[str, Any]


class ToolResultB(Strict, tag="tool_result"):
    tool_use_id: str
    content: str | list[TextB | ImageB] | None = None
    is_error: bool = False
    cache_control: Cache | None = None


class ThinkingB(Strict, tag="thinking"):
    thinking: str
    signature: str


class RedactedB(Strict, tag="redacted_thinking"):
    data: str


class Turn(Strict):
    role: Literal["user", "assistant"]
    content: str | list[TextB | ImageB | ToolUseB | ToolResultB | ThinkingB | RedactedB]


class Schema(Strict):
    name: str
    input_schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None
    cache_control: Cache | None = None


class Choice(Strict):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Enabled(Strict, tag="enabled"):
    budget_tokens: int


class Adaptive(Strict, tag="adaptive"):
    display: Literal["summarized", "omitted"] | None = None


class Disabled(Strict, tag="disabled"):
    pass


class Format(Strict):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class Output(Strict):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: Format | None = None


class Metadata(Strict):
    user_id: str | None = None


class Body(Strict):
    model: str
    messages: list[Turn]
    max_tokens: int
    stream: bool = False
    system: str | list[TextB] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    tools: list[Schema] | None = None
    tool_choice: Choice | None = None
    thinking: Enabled | Adaptive | Disabled | None = None
    output_config: Output | None = None
    metadata: Metadata | None = None


def refusal(status: int, kind: str, message: str) -> Refused:
    return Refused(
        status,
        {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_fake"},
        {"request-id": "req_fake"},
    )


def invalid(message: str) -> Refused:
    return refusal(400, "invalid_request_error", message)


def check(body: Body) -> None:
    if body.max_tokens < 1:
        raise invalid("max_tokens: must be greater than or equal to 1")
    if not body.messages or body.messages[0].role != "user":
        raise invalid("messages: first message must use the 'user' role")
    open_calls: set[str] = set()
    for index, turn in enumerate(body.messages):
        blocks = [TextB(turn.content)] if isinstance(turn.content, str) else turn.content
        if not blocks and index + 1 < len(body.messages):
            raise invalid(f"messages.{index}: all messages must have non-empty content")
        results = [block.tool_use_id for block in blocks if isinstance(block, ToolResultB)]
        if set(results) - open_calls:
            raise invalid(f"messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks")
        if open_calls - set(results):
            raise invalid(f"messages.{index}: `tool_use` ids were found without `tool_result` blocks")
        if any(isinstance(block, ToolResultB) for block in blocks[len(results) :]):
            raise invalid(f"messages.{index}: `tool_result` blocks must come first")
        if any(isinstance(block, TextB) and not block.text.strip() for block in blocks):
            raise invalid(f"messages.{index}: text content blocks must contain non-whitespace text")
        if turn.role == "user" and any(isinstance(b, ToolUseB | ThinkingB | RedactedB) for b in blocks):
            raise invalid(f"messages.{index}: `tool_use` blocks can only be in `assistant` messages")
        open_calls = {block.id for block in blocks if isinstance(block, ToolUseB)}
    if open_calls:
        raise invalid("messages: `tool_use` ids were found without `tool_result` blocks immediately after")
    for tool in body.tools or ():
        if tool.input_schema.get("type") != "object":
            raise invalid("tools.0.custom.input_schema.type: Field required")
    if body.tool_choice is not None and not body.tools:
        raise invalid("tool_choice may only be specified while providing tools")
    modern = not body.model.startswith(("claude-sonnet-4", "claude-slow"))
    sampling = (body.temperature, body.top_p, body.top_k)
    if modern and any(value is not None for value in sampling):
        raise invalid("`temperature` is deprecated for this model")
    if modern and isinstance(body.thinking, Enabled):
        raise invalid('"thinking.type.enabled" is not supported for this model')
    if not modern and isinstance(body.thinking, Adaptive):
        raise invalid("adaptive thinking is not supported on this model")
    if body.temperature is not None and not 0 <= body.temperature <= 1:
        raise invalid("temperature: range: 0..1")
    if body.temperature is not None and body.top_p is not None:
        raise invalid("`temperature` and `top_p` cannot both be specified for this model")
    if isinstance(body.thinking, Enabled):
        if not 1024 <= body.thinking.budget_tokens < body.max_tokens:
            raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`")
        if any(value is not None for value in sampling):
            raise invalid("`temperature` may only be set to 1 when thinking is enabled")
        if body.tool_choice is not None and body.tool_choice.type in ("any", "tool"):
            raise invalid("Thinking may not be enabled when tool_choice forces tool use")


class FakeAnthropic(FakeUpstream):
    """See the module."""

    async def answer(self, method: str, path: str, headers: dict[str, str], body: bytes, send: Send) -> None:
        # The official client of 2026-11 sends a bearer token, everything before it x-api-key.
        if KEY not in (headers.get("x-api-key"), headers.get("authorization", "").removeprefix("Bearer ")):
            raise refusal(401, "authentication_error", f"invalid x-api-key {headers.get('x-api-key')}")
        if headers.get("anthropic-version") not in ("2023-06-01", "2026-10-21"):
            raise invalid("anthropic-version: header is required")
        if method == "GET" and path.partition("?")[0] == "/v1/models":
            await respond(send, 200, b'{"data": [], "has_more": false, "first_id": null, "last_id": null}')
            return
        if (method, path) != ("POST", "/v1/messages"):
            raise refusal(404, "not_found_error", "Not Found")
        if headers.get("content-type", "").split(";")[0] != "application/json":
            raise invalid("Content-Type must be application/json")
        try:
            asked = msgspec.json.decode(body, type=Body)
        except msgspec.DecodeError as error:
            raise invalid(f"{error}") from None
        self.requests.append(json.loads(body))
        if asked.model not in MODELS:
            raise refusal(404, "not_found_error", f"model: {asked.model}")
        check(asked)
        content, reason = say(asked)
        usage = {
            "input_tokens": 12,
            "cache_creation_input_tokens": 5,
            "cache_read_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 4},
            "output_tokens": 9,
            "service_tier": "standard",
        }
        message = {
            "id": "msg_fake1",
            "type": "message",
            "role": "assistant",
            "model": asked.model + "-20260101",
            "content": content,
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": usage,
        }
        if not asked.stream:
            await respond(send, 200, json.dumps(message).encode(), {"request-id": "req_fake"})
            return
        await start_stream(send)
        for name, data in stream_events(message):
            raw = f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()
            await send({"type": "http.response.body", "body": raw, "more_body": True})
            if asked.model == "claude-slow":
                await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b""})


def say(asked: Body) -> tuple[list[dict[str, Any]], str]:
    last = asked.messages[-1].content
    blocks = [TextB(last)] if isinstance(last, str) else last
    content: list[dict[str, Any]] = []
    if asked.thinking is not None and not isinstance(asked.thinking, Disabled):
        content.append({"type": "thinking", "thinking": "let me see", "signature": "c2ln"})
    answered = any(isinstance(block, ToolResultB) for block in blocks)
    none = asked.tool_choice is not None and asked.tool_choice.type == "none"
    if asked.tools and not answered and not none:
        name = (asked.tool_choice.name if asked.tool_choice else None) or asked.tools[0].name
        content.append({"type": "tool_use", "id": "toolu_1", "name": name, "input": {"city": "Oslo"}})
        return content, "tool_use"
    said = " ".join(
        block.text if isinstance(block, TextB) else "[image]"
        for block in blocks
        if isinstance(block, TextB | ImageB)
    )
    if asked.model == "claude-slow":
        said = "slow " * 200
    content.append({"type": "text", "text": said or "done"})
    return content, "end_turn"


def stream_events(message: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    begun = {**message, "content": [], "stop_reason": None, "usage": {**message["usage"], "output_tokens": 1}}
    out: list[tuple[str, dict[str, Any]]] = [("message_start", {"message": begun}), ("ping", {})]
    for index, block in enumerate(message["content"]):
        deltas: list[dict[str, Any]]
        if block["type"] == "text":
            empty = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": word} for word in split(block["text"])]
        elif block["type"] == "thinking":
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
        else:
            empty = {**block, "input": {}}
            text = json.dumps(block["input"])
            deltas = [
                {"type": "input_json_delta", "partial_json": piece} for piece in ("", text[:5], text[5:])
            ]
        out.append(("content_block_start", {"index": index, "content_block": empty}))
        out += [("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
        out.append(("content_block_stop", {"index": index}))
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    out.append(
        ("message_delta", {"delta": delta, "usage": {"output_tokens": message["usage"]["output_tokens"]}})
    )
    out.append(("message_stop", {}))
    return out


def split(text: str) -> list[str]:
    words = text.split(" ")
    return [word if index == 0 else " " + word for index, word in enumerate(words)]
