"""What the simulator says: pure functions from a request to an answer."""

from __future__ import annotations

import json
import math
import re
import zlib
from itertools import pairwise
from random import Random
from typing import Any, Final, NamedTuple

import msgspec

from service.providers.base import (
    CanonicalRequest,
    FinishReason,
    Image,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)

WORDS: Final = [
    *("the", "model", "answers", "here", "with", "plain", "words", "that", "mean", "nothing", "at", "all"),
    *("so", "that", "a", "reader", "sees", "at", "once", "what", "is", "simulated", "and", "a", "test"),
    *("knows", "every", "token", "before", "it", "comes"),
]
MAX_DEPTH: Final = 20


class Answer(NamedTuple):
    parts: tuple[Text | ToolCall | Thinking, ...]
    finish: FinishReason = "stop"
    stop_sequence: str | None = None


def answer(base: str, tokens: int, request: CanonicalRequest) -> Answer:
    """The whole answer before any limit on its length."""
    tool = _wanted_tool(base, request)
    if tool is not None:
        arguments = json.dumps(example(tool.parameters or {"type": "object"}))
        return Answer(
            (ToolCall(f"call_{fingerprint(request) & 0xFFFFFFFF:08x}", tool.name, arguments),), "tool_calls"
        )
    form = request.response_format
    if form is not None and form.kind != "text":
        value = example(form.schema) if form.schema else {"echo": last_words(request)}
        return Answer((Text(json.dumps(value)),))
    text = lorem(tokens, request) if base == "lorem" else last_words(request)
    for stop in request.stop:
        at = text.find(stop)
        if stop and at >= 0:
            return Answer((Text(text[:at]),), "stop_sequence", stop)
    return Answer((Text(text),))


def cut(whole: Answer, token: re.Pattern[str], limit: int) -> Answer:
    """The first `limit` tokens of the answer; a tool call that does not fit is dropped whole."""
    kept: list[Text | ToolCall | Thinking] = []
    for part in whole.parts:
        if type(part) is Text:
            kept.append(Text("".join(token.findall(part.text)[:limit])))
    return Answer(tuple(kept) or (Text(""),), "length")


def last_words(request: CanonicalRequest) -> str:
    """What the last message says; images and results are named, not shown."""
    if not request.messages:
        return ""
    parts = request.messages[-1].parts
    if len(parts) == 1 and type(parts[0]) is Text:
        return parts[0].text
    said: list[str] = []
    for part in parts:
        if type(part) is Text:
            said.append(part.text)
        elif type(part) is Image:
            said.append("[image]")
        elif type(part) is ToolResult:
            said.extend([inner.text if type(inner) is Text else "[image]" for inner in part.parts])
    return " ".join(said)


def lorem(tokens: int, request: CanonicalRequest) -> str:
    """`tokens` words, chosen by the request's content and seed."""
    random = Random(fingerprint(request))  # noqa: S311 - a reproducible text, no secret
    return " ".join(random.choices(WORDS, k=min(tokens, 200_000)))


def fingerprint(request: CanonicalRequest) -> int:
    """A number that depends on nothing but the messages and the seed."""
    raw = msgspec.msgpack.encode((request.messages, request.seed))
    return zlib.crc32(raw) << 32 | zlib.adler32(raw)


def example(schema: Any, depth: int = 0) -> Any:
    """A value that fits a JSON schema of the usual kind; the same one every time."""
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return None
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for branch in ("anyOf", "oneOf", "allOf"):
        if schema.get(branch):
            return example(schema[branch][0], depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object":
        properties = schema.get("properties") or {}
        wanted = schema.get("required", list(properties))
        return {name: example(properties.get(name, {}), depth + 1) for name in wanted}
    if kind == "array":
        return [example(schema.get("items", {}), depth + 1)] * max(1, int(schema.get("minItems", 1)))
    simple: dict[str, Any] = {"string": "example", "integer": 1, "number": 1.5, "boolean": True, "null": None}
    if kind in ("integer", "number") and "minimum" in schema:
        return schema["minimum"]
    return simple.get(str(kind))


def vector(text: str, size: int) -> list[float]:
    """Unit vector of hashed words and word pairs: near texts are near, and it needs no model."""
    numbers = [0.0] * size
    words = text.lower().split()
    for feature in words + [f"{a} {b}" for a, b in pairwise(words)]:
        code = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
        numbers[code % size] += 1.0 if code & 0x80000000 else -1.0
    length = math.sqrt(sum([n * n for n in numbers])) or 1.0
    return [n / length for n in numbers]


def _wanted_tool(base: str, request: CanonicalRequest) -> Tool | None:
    if not request.tools:
        return None
    choice = request.tool_choice
    mode = choice.mode if choice else "auto"
    if mode == "none":
        return None
    if mode == "tool" and choice is not None:
        return next((tool for tool in request.tools if tool.name == choice.name), None)
    answered = any(type(part) is ToolResult for part in request.messages[-1].parts)
    if mode == "required" or (base == "tools" and not answered):
        return request.tools[0]
    return None
