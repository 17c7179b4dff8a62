"""A Gemini that refuses what Gemini refuses: unknown fields, roles out of turn, unsigned tool calls.

Says back what it was told; with tools it calls the first one until results are there.
Rules: https://ai.google.dev/api/generate-content (v1beta), 2026-11.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import msgspec

from tests.service.fakes.serving import FakeUpstream, Refused, Send, respond, start_stream

KEY = "AIza-fake-key"
MODELS = ("gemini-2.5-flash", "gemini-3-pro", "gemini-embedding-001")
SIGNATURE = "c2lnbmF0dXJl"


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    pass


class InlineData(Strict):
    mime_type: str
    data: str


class FileData(Strict):
    file_uri: str
    mime_type: str


class FunctionCall(Strict):
    name: str
    args: dict[str, Any] | None = None
    id: str | None = None


class FunctionResponse(Strict):
    name: str
    response: dict[str, Any]
    id: str | None = None


class Part(Strict):
    text: str | None = None
    inline_data: InlineData | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    thought_signature: str | None = None


class Content(Strict):
    parts: list[Part]
    role: Literal["user", "model"] | None = None


class Declaration(Strict):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None


class Tools(Strict):
    function_declarations: list[Declaration]


class Calling(Strict):
    mode: Literal["AUTO", "ANY", "NONE", "VALIDATED"]
    allowed_function_names: list[str] | None = None


class ToolConfig(Strict):
    function_calling_config: Calling


class ThinkingConfig(Strict):
    thinking_budget: int | None = None
    thinking_level: Literal["low", "medium", "high", "LOW", "HIGH"] | None = None
    include_thoughts: bool | None = None


class Config(Strict):
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    response_mime_type: Literal["text/plain", "application/json"] | None = None
    response_json_schema: dict[str, Any] | None = None
    thinking_config: ThinkingConfig | None = None


class Body(Strict):
    contents: list[Content]
    system_instruction: Content | None = None
    tools: list[Tools] | None = None
    tool_config: ToolConfig | None = None
    generation_config: Config | None = None


class EmbedRequest(Strict):
    model: str
    content: Content
    output_dimensionality: int | None = None


class EmbedBody(Strict):
    requests: list[EmbedRequest]


def refusal(status: int, code: str, message: str) -> Refused:
    return Refused(status, {"error": {"code": status, "message": message, "status": code}})


def invalid(message: str) -> Refused:
    return refusal(400, "INVALID_ARGUMENT", message)


def check(model: str, body: Body) -> None:
    if not body.contents:
        raise invalid("* GenerateContentRequest.contents: contents is not specified")
    open_calls = 0
    for index, content in enumerate(body.contents):
        if not content.parts:
            raise invalid(
                f"* GenerateContentRequest.contents[{index}].parts: contents.parts must not be empty."
            )
        calls = [part for part in content.parts if part.function_call is not None]
        answers = [part for part in content.parts if part.function_response is not None]
        if open_calls != len(answers):
            raise invalid(
                "Please ensure that the number of function response parts is equal to the number of calls"
            )
        if content.role == "user" and calls:
            raise invalid("Please ensure that function call turn comes immediately after a user turn")
        if "gemini-3" in model and calls and calls[0].thought_signature is None:
            raise invalid("Function call is missing a thought_signature in functionCall parts.")
        open_calls = len(calls)
    config = body.generation_config
    if config is not None and config.response_json_schema and config.response_mime_type != "application/json":
        raise invalid("responseJsonSchema needs responseMimeType application/json")
    if config is not None and config.seed is not None and not -(2**31) <= config.seed < 2**31:
        raise invalid("Invalid value at 'generation_config.seed' (TYPE_INT32)")


class FakeGemini(FakeUpstream):
    """See the module."""

    async def answer(self, method: str, path: str, headers: dict[str, str], body: bytes, send: Send) -> None:
        if headers.get("x-goog-api-key") != KEY:
            raise invalid(f"API key not valid. Please pass a valid API key. {headers.get('x-goog-api-key')}")
        path, _, query = path.partition("?")
        if method == "GET" and path == "/v1beta/models":
            await respond(send, 200, b'{"models": []}')
            return
        match = re.fullmatch(r"/v1beta/models/([^:/]+):(\w+)", path)
        if method != "POST" or match is None:
            raise refusal(404, "NOT_FOUND", "Requested entity was not found.")
        model, action = match.groups()
        if model not in MODELS:
            raise refusal(404, "NOT_FOUND", f"models/{model} is not found for API version v1beta")
        if action == "batchEmbedContents":
            await self._embed(body, send)
            return
        asked = self._decode(body, Body)
        check(model, asked)
        chunks = say(model, asked)
        if action == "generateContent":
            parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
            whole = {**chunks[-1], "candidates": [{**chunks[-1]["candidates"][0]}]}
            whole["candidates"][0]["content"] = {"role": "model", "parts": parts}
            await respond(send, 200, json.dumps(whole).encode())
        elif action == "streamGenerateContent" and "alt=sse" in query:
            await start_stream(send)
            for chunk in chunks:
                raw = b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n"
                await send({"type": "http.response.body", "body": raw, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        else:
            raise refusal(404, "NOT_FOUND", action)

    async def _embed(self, raw: bytes, send: Send) -> None:
        asked = self._decode(raw, EmbedBody)
        vectors = []
        for one in asked.requests:
            if not one.model.startswith("models/"):
                raise invalid("model: must be models/{model}")
            text = one.content.parts[0].text or ""
            vectors.append({"values": [float(len(text))] * (one.output_dimensionality or 3)})
        await respond(send, 200, json.dumps({"embeddings": vectors}).encode())

    def _decode(self, raw: bytes, kind: Any) -> Any:
        try:
            asked = msgspec.json.decode(raw, type=kind)
        except msgspec.DecodeError as error:
            raise invalid(f"Invalid JSON payload received. {error}") from None
        self.requests.append(json.loads(raw))
        return asked


def say(model: str, asked: Body) -> list[dict[str, Any]]:
    last = asked.contents[-1].parts
    answered = any(part.function_response is not None for part in last)
    mode = asked.tool_config.function_calling_config.mode if asked.tool_config else "AUTO"
    pieces: list[dict[str, Any]] = []
    config = asked.generation_config
    if config and config.thinking_config and config.thinking_config.include_thoughts:
        pieces.append({"text": "let me see", "thought": True})
    if asked.tools and not answered and mode != "NONE":
        name = asked.tools[0].function_declarations[0].name
        call = {"name": name, "args": {"city": "Oslo"}}
        pieces.append({"functionCall": call, "thoughtSignature": SIGNATURE})
    else:
        said = " ".join(part.text or "[image]" for part in last if part.function_response is None) or "done"
        if config and config.response_mime_type == "application/json":
            said = json.dumps({"said": said})
        words = said.split(" ")
        pieces += [{"text": word if i == 0 else " " + word} for i, word in enumerate(words)]
    usage = {
        "promptTokenCount": 11,
        "candidatesTokenCount": 4,
        "thoughtsTokenCount": 6,
        "cachedContentTokenCount": 5,
        "totalTokenCount": 21,
    }
    head = {"modelVersion": model + "-001", "responseId": "resp-1", "usageMetadata": usage}
    chunks: list[dict[str, Any]] = [
        {**head, "candidates": [{"content": {"role": "model", "parts": [piece]}, "index": 0}]}
        for piece in pieces
    ]
    chunks[-1]["candidates"][0]["finishReason"] = "STOP"
    return chunks
