"""Google's generateContent format, from our side of the wire. Pure functions.

Format: https://ai.google.dev/api/generate-content (v1beta), checked against the google-genai SDK's types.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from service.providers.base import (
    JSON,
    CanonicalRequest,
    FinishReason,
    Image,
    Part,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)

# Gemini 3 refuses tool calls of its own history without their signature; for calls that another
# provider made, or whose signature the client's format could not carry, Google documents this value.
NO_SIGNATURE: Final = "skip_thought_signature_validator"
BUDGET_OF_EFFORT: Final = {"none": 0, "minimal": 512, "low": 1_024, "medium": 8_192, "high": 24_576}
LEVEL_OF_EFFORT: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high"}
MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY", "tool": "ANY"}


def render(request: CanonicalRequest) -> JSON:
    """The body of generateContent and streamGenerateContent."""
    system: list[JSON] = []
    contents: list[JSON] = []
    names = {part.id: part.name for m in request.messages for part in m.parts if isinstance(part, ToolCall)}
    for message in request.messages:
        if message.role == "system":
            system.extend([{"text": part.text} for part in message.parts if isinstance(part, Text)])
            continue
        role = "model" if message.role == "assistant" else "user"
        parts = [one for part in message.parts for one in _parts(part, names, request.model)]
        if not parts:
            continue
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"].extend(parts)
        else:
            contents.append({"role": role, "parts": parts})
    body: JSON = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    if request.tools:
        body["tools"] = [{"functionDeclarations": [_tool(tool) for tool in request.tools]}]
        if request.tool_choice is not None:
            calling: JSON = {"mode": MODES[request.tool_choice.mode]}
            if request.tool_choice.mode == "tool":
                calling["allowedFunctionNames"] = [request.tool_choice.name]
            body["toolConfig"] = {"functionCallingConfig": calling}
    config = _config(request)
    if config:
        body["generationConfig"] = config
    return body


def _parts(part: Part, names: dict[str, str], model: str) -> list[JSON]:
    if isinstance(part, Text):
        return [{"text": part.text}] if part.text else []
    if isinstance(part, Image):
        return [_image(part)]
    if isinstance(part, ToolCall):
        call: JSON = {"name": part.name, "args": _object(part.arguments)}
        entry: JSON = {"functionCall": call}
        signature = part.signature or (NO_SIGNATURE if "gemini-3" in model else "")
        if signature:
            entry["thoughtSignature"] = signature
        return [entry]
    if isinstance(part, ToolResult):
        text = "\n".join([inner.text for inner in part.parts if isinstance(inner, Text)])
        answer: JSON = {"error": text} if part.is_error else {"result": text}
        name = part.name or names.get(part.call_id, part.call_id)
        images = [_image(inner) for inner in part.parts if isinstance(inner, Image)]
        return [{"functionResponse": {"name": name, "response": answer}}, *images]
    return []  # reasoning is shown, never sent back


def _image(image: Image) -> JSON:
    if image.data:
        return {"inlineData": {"mimeType": image.media_type, "data": image.data}}
    return {"fileData": {"fileUri": image.url, "mimeType": _mime(image.url)}}


def _mime(url: str) -> str:
    """Gemini wants the type beside the address; the name's ending is all there is to go by."""
    ending = url.partition("?")[0].rpartition(".")[2].lower()
    return {"png": "image/png", "webp": "image/webp", "gif": "image/gif", "heic": "image/heic"}.get(
        ending, "image/jpeg"
    )


def _object(text: str) -> JSON:
    try:
        value = msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        return {"arguments": text}
    return value if isinstance(value, dict) else {"arguments": value}


def _tool(tool: Any) -> JSON:
    entry: JSON = {"name": tool.name}
    if tool.description:
        entry["description"] = tool.description
    if tool.parameters and tool.parameters.get("properties") != {}:
        entry["parametersJsonSchema"] = tool.parameters
    return entry


def _config(request: CanonicalRequest) -> JSON:
    config: JSON = {}
    for theirs, value in (
        ("maxOutputTokens", request.max_tokens),
        ("temperature", request.temperature),
        ("topP", request.top_p),
        ("topK", request.top_k or None),
        ("stopSequences", list(request.stop) or None),
        ("seed", None if request.seed is None else request.seed & 0x7FFFFFFF),  # theirs has 32 bits
        ("frequencyPenalty", request.frequency_penalty),
        ("presencePenalty", request.presence_penalty),
    ):
        if value is not None:
            config[theirs] = value
    form = request.response_format
    if form is not None and form.kind != "text":
        config["responseMimeType"] = "application/json"
        if form.kind == "json_schema" and form.schema:
            config["responseJsonSchema"] = form.schema
    thinking = _thinking(request)
    if thinking:
        config["thinkingConfig"] = thinking
    return config


def _thinking(request: CanonicalRequest) -> JSON:
    budget, effort = request.thinking_budget, request.reasoning_effort
    if budget is None and effort is None:
        return {}
    if "gemini-3" in request.model and budget is None and effort in LEVEL_OF_EFFORT:
        return {"thinkingLevel": LEVEL_OF_EFFORT[str(effort)], "includeThoughts": True}
    if budget is None:
        budget = BUDGET_OF_EFFORT.get(str(effort), BUDGET_OF_EFFORT["high"])
    return {"thinkingBudget": budget, "includeThoughts": budget > 0}


# --- in ---------------------------------------------------------------------------------------------


class WireCall(Struct):
    name: str = ""
    args: JSON | None = None
    id: str | None = None


class WirePart(Struct, rename="camel"):
    text: str | None = None
    thought: bool = False
    thought_signature: str = ""
    function_call: WireCall | None = None


class WireContent(Struct):
    parts: list[WirePart] | None = None


class WireCandidate(Struct, rename="camel"):
    content: WireContent | None = None
    finish_reason: str | None = None


class WireUsage(Struct, rename="camel"):
    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    cached_content_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None

    def usage(self) -> Usage:
        """Google counts thoughts apart from the answer; both are output."""
        thoughts = self.thoughts_token_count or 0
        return Usage(
            (self.prompt_token_count or 0) + (self.tool_use_prompt_token_count or 0),
            (self.candidates_token_count or 0) + thoughts,
            self.cached_content_token_count or 0,
            0,
            thoughts,
        )


class WireFeedback(Struct, rename="camel"):
    block_reason: str | None = None


class WireAnswer(Struct, rename="camel"):
    """A whole answer or one chunk of a stream."""

    candidates: list[WireCandidate] | None = None
    usage_metadata: WireUsage | None = None
    prompt_feedback: WireFeedback | None = None
    model_version: str = ""
    response_id: str = ""
    error: Any = None


class WireVector(Struct):
    values: list[float]


class WireEmbeddings(Struct):
    embeddings: list[WireVector]


ANSWER: Final = msgspec.json.Decoder(WireAnswer)
EMBEDDINGS: Final = msgspec.json.Decoder(WireEmbeddings)

FINISH: Final[dict[str, FinishReason]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
}
# The model tried and produced nothing usable: an error, not an answer.
BROKEN: Final = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "OTHER",
    }
)
