"""An OpenAI that refuses what OpenAI refuses: unknown fields, bad roles, orphaned tool results.

`gpt-fake` says back what it was told; with tools it calls the first one until results are there.
The rules are those of the API reference (platform.openai.com/docs/api-reference/chat/create, 2026-11).
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Literal

import msgspec

from tests.service.fakes.serving import FakeUpstream, Refused, Send, respond, start_stream

KEY = "sk-fake-openai-key"
MODELS = ("gpt-fake", "gpt-slow")


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class TextPart(Strict, tag="text", tag_field="type"):
    text: str


class ImageUrl(Strict):
    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(Strict, tag="image_url", tag_field="type"):
    image_url: ImageUrl


class CalledFunction(Strict):
    name: str
    arguments: str


class Call(Strict):
    id: str
    type: Literal["function"]
    function: CalledFunction


class ChatMessage(Strict):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart | ImagePart] | None = None
    name: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None


class FunctionDef(Strict):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolDef(Strict):
    type: Literal["function"]
    function: FunctionDef


class NamedFunction(Strict):
    name: str


class NamedTool(Strict):
    type: Literal["function"]
    function: NamedFunction


class JsonSchema(Strict):
    name: str
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class Format(Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Strict):
    include_usage: bool = False


class ChatBody(Strict):
    model: str
    messages: list[ChatMessage]
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    tools: list[ToolDef] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: Format | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    user: str | None = None


class EmbeddingBody(Strict):
    model: str
    input: list[str] | str
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


def invalid(message: str, param: str | None = None, code: str | None = None, status: int = 400) -> Refused:
    return Refused(
        status,
        {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}},
    )


def check_messages(messages: list[ChatMessage]) -> None:
    """Every tool call is answered at once, and every answer belongs to a call."""
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        where = f"messages.[{index}]"
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                raise invalid(
                    "messages with role 'tool' must be a response to a preceding message with 'tool_calls'.",
                    f"{where}.role",
                )
            open_calls.remove(message.tool_call_id)
            continue
        if open_calls:
            raise invalid(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to "
                f"each 'tool_call_id'. These did not have response messages: {', '.join(open_calls)}",
                f"{where}.role",
            )
        if message.content is None and not (message.role == "assistant" and message.tool_calls):
            raise invalid("Invalid value for 'content': expected a string, got null.", f"{where}.content")
        listed = message.content if isinstance(message.content, list) else []
        if message.role != "user" and any(isinstance(part, ImagePart) for part in listed):
            raise invalid("Images are only allowed in user messages.", f"{where}.content")
        for call in message.tool_calls or ():
            json.loads(call.function.arguments)
            open_calls.append(call.id)
    if open_calls:
        raise invalid("tool_calls without responses", "messages")


class FakeOpenAI(FakeUpstream):
    """See the module."""

    async def answer(self, method: str, path: str, headers: dict[str, str], body: bytes, send: Send) -> None:
        if headers.get("authorization") != f"Bearer {KEY}":
            raise invalid(
                f"Incorrect API key provided: {headers.get('authorization', '')[7:]}.",
                code="invalid_api_key",
                status=401,
            )
        if (method, path) == ("GET", "/v1/models"):
            data = [{"id": name, "object": "model", "created": 1, "owned_by": "fake"} for name in MODELS]
            await respond(send, 200, json.dumps({"object": "list", "data": data}).encode())
            return
        if headers.get("content-type", "").split(";")[0] != "application/json":
            raise invalid("The content type must be application/json.", status=415)
        if (method, path) == ("POST", "/v1/chat/completions"):
            await self._chat(body, send)
        elif (method, path) == ("POST", "/v1/embeddings"):
            await self._embed(body, send)
        else:
            raise invalid(f"Invalid URL ({method} {path})", status=404)

    async def _chat(self, raw: bytes, send: Send) -> None:
        asked = self._decode(raw, ChatBody)
        if asked.model not in MODELS:
            raise invalid(
                f"The model `{asked.model}` does not exist or you do not have access to it.",
                code="model_not_found",
                status=404,
            )
        if not asked.messages:
            raise invalid("Invalid 'messages': empty array.", "messages", "empty_array")
        if asked.temperature is not None and not 0 <= asked.temperature <= 2:
            raise invalid("Invalid 'temperature': must be from 0 to 2.", "temperature")
        if asked.stream_options is not None and not asked.stream:
            raise invalid("'stream_options' is only allowed when 'stream' is enabled.", "stream_options")
        if isinstance(asked.stop, list) and len(asked.stop) > 4:
            raise invalid("Invalid 'stop': at most 4 sequences.", "stop")
        if (asked.tool_choice or asked.parallel_tool_calls) is not None and not asked.tools:
            raise invalid("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
        check_messages(asked.messages)
        message, finish = self._say(asked)
        words = message["content"].split() if message["content"] else []
        usage = {
            "prompt_tokens": 20,
            "completion_tokens": len(words) or 7,
            "total_tokens": 20 + (len(words) or 7),
            "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
        }
        head = {"id": "chatcmpl-fake1", "created": 1_700_000_000, "model": asked.model + "-2026"}
        if not asked.stream:
            whole = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
            body = {**head, "object": "chat.completion", "choices": [whole], "usage": usage}
            await respond(send, 200, json.dumps(body).encode())
            return
        await start_stream(send)
        with_usage = asked.stream_options is not None and asked.stream_options.include_usage
        for delta, reason in deltas(message, finish):
            chunk: dict[str, Any] = {
                **head,
                "object": "chat.completion.chunk",
                "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}],
            }
            if with_usage:
                chunk["usage"] = None
            await event(send, chunk)
            if asked.model == "gpt-slow":
                await asyncio.sleep(0.05)
        if with_usage:
            await event(send, {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    def _say(self, asked: ChatBody) -> tuple[dict[str, Any], str]:
        last = asked.messages[-1]
        if asked.tools and last.role != "tool" and asked.tool_choice != "none":
            name = asked.tools[0].function.name
            if isinstance(asked.tool_choice, NamedTool):
                name = asked.tool_choice.function.name
            call = {
                "id": "call_fake1",
                "type": "function",
                "function": {"name": name, "arguments": '{"city": "Oslo"}'},
            }
            return {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None}, "tool_calls"
        if isinstance(last.content, list):
            said = " ".join(p.text if isinstance(p, TextPart) else "[image]" for p in last.content)
        else:
            said = last.content or ""
        if asked.response_format is not None and asked.response_format.type != "text":
            said = json.dumps({"said": said})
        if asked.model == "gpt-slow":
            said = "slow " * 200
        words = said.split()
        if asked.max_completion_tokens is not None and len(words) > asked.max_completion_tokens:
            cut = " ".join(words[: asked.max_completion_tokens])
            return {"role": "assistant", "content": cut, "refusal": None}, "length"
        return {"role": "assistant", "content": said, "refusal": None}, "stop"

    async def _embed(self, raw: bytes, send: Send) -> None:
        asked = self._decode(raw, EmbeddingBody)
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        size = asked.dimensions or 4
        data = [
            {"object": "embedding", "index": i, "embedding": [float(len(text))] * size}
            for i, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        # In reverse: the order is told by `index`.
        body = {"object": "list", "data": data[::-1], "model": asked.model, "usage": usage}
        await respond(send, 200, json.dumps(body).encode())

    def _decode(self, raw: bytes, kind: Any) -> Any:
        try:
            asked = msgspec.json.decode(raw, type=kind)
        except msgspec.ValidationError as error:
            raise invalid(f"Invalid request: {error}", str(error).rpartition("`$.")[2].rstrip("`")) from None
        except msgspec.DecodeError:
            raise invalid("We could not parse the JSON body of your request.") from None
        self.requests.append(json.loads(raw))
        return asked


def deltas(message: dict[str, Any], finish: str) -> list[tuple[dict[str, Any], str | None]]:
    out: list[tuple[dict[str, Any], str | None]] = [
        ({"role": "assistant", "content": "" if message["content"] is not None else None}, None)
    ]
    for index, call in enumerate(message.get("tool_calls") or ()):
        begin = {**call, "index": index, "function": {"name": call["function"]["name"], "arguments": ""}}
        out.append(({"tool_calls": [begin]}, None))
        text = call["function"]["arguments"]
        for piece in (text[:5], text[5:]):
            out.append(({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, None))
    words = (message["content"] or "").split(" ") if message["content"] else []
    for index, word in enumerate(words):
        out.append(({"content": word if index == 0 else " " + word}, None))
    out.append(({}, finish))
    return out


async def event(send: Send, data: dict[str, Any]) -> None:
    raw = b"data: " + json.dumps(data).encode() + b"\n\n"
    await send({"type": "http.response.body", "body": raw, "more_body": True})
