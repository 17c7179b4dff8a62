"""An upstream that quotes everything it was sent, key and prompt, in whatever way a failure can be told.

It speaks OpenAI, Anthropic, Gemini and Bedrock just well enough to be called. The last part of the model's
name says what happens: `ok`, an HTTP status, `garbage`, `cut`, `late` (an error inside a 200) or `silent`.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from tests.service.fakes.serving import FakeUpstream, Send, respond, start_stream

FAILURES = (
    "400",
    "401",
    "402",
    "403",
    "404",
    "408",
    "413",
    "429",
    "500",
    "503",
    "529",
    "garbage",
    "cut",
    "late",
)
USED = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


class Talkative(FakeUpstream):
    """`answer_text` is what every good answer says."""

    def __init__(self, answer_text: str) -> None:
        super().__init__()
        self.answer_text = answer_text
        self.seen: list[str] = []

    async def answer(self, method: str, path: str, headers: dict[str, str], body: bytes, send: Send) -> None:
        self.seen.append(f"{path} {headers} {body.decode()}")
        asked: dict[str, Any] = json.loads(body) if body else {}
        named = re.search(r"/models?/([^/:]+)", path)
        model = str(asked.get("model") or (named[1] if named else "500"))
        what, stream = model.rpartition("-")[2], bool(asked.get("stream")) or "tream" in path
        echo = f"You sent {headers} and {body.decode()}"
        if what == "ok":
            await self._good(path, stream, send)
        elif what == "garbage":
            await respond(send, 200, echo.encode())
        elif what == "late":
            error = json.dumps({"type": "error", "error": {"type": "server_error", "message": echo}}).encode()
            if not stream:
                await respond(send, 200, error)
                return
            await start_stream(send)
            first = self._openai_chunk() if "/oa/" in path else b""
            await send({"type": "http.response.body", "body": first + b"data: " + error + b"\n\n"})
        elif what == "cut":
            await start_stream(send)
            await send({"type": "http.response.body", "body": self._openai_chunk(), "more_body": True})
            raise ConnectionAbortedError("the fake breaks the connection, as its name says")
        elif what == "silent":
            await asyncio.sleep(600)
        else:
            await self._failure(int(what), echo, headers, send)

    async def _failure(self, status: int, echo: str, headers: dict[str, str], send: Send) -> None:
        """Keys stand at the beginning, and again where messages are cut."""
        keys = " ".join(headers.get(name, "") for name in ("authorization", "x-api-key", "x-goog-api-key"))
        message = f"{keys} {echo}"
        message = f"{message[:485]}{keys} {message}"
        body = {"error": {"message": message, "type": keys, "code": keys, "param": keys, "status": keys}}
        told = {"x-request-id": keys.split()[-1], "retry-after": "0", "x-echo": keys}
        await respond(send, status, json.dumps({**body, "message": message}).encode(), told)

    def _openai_chunk(self) -> bytes:
        delta = {"index": 0, "delta": {"role": "assistant", "content": self.answer_text}}
        return b"data: " + json.dumps({"id": "c1", "model": "m", "choices": [delta]}).encode() + b"\n\n"

    async def _good(self, path: str, stream: bool, send: Send) -> None:
        text = self.answer_text
        if "embeddings" in path:
            body = {"model": "m", "data": [{"index": 0, "embedding": [1.0]}], "usage": USED}
        elif "/claude/" in path:
            content = [{"type": "text", "text": text}]
            usage = {"input_tokens": 3, "output_tokens": 2}
            body = {
                "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content,
                "stop_reason": "end_turn", "stop_sequence": None, "usage": usage,
            }  # fmt: skip
        elif "/gem/" in path:
            candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP"}
            body = {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 5}}
        elif "/rock/" in path:
            message = {"role": "assistant", "content": [{"text": text}]}
            usage = {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}
            body = {"output": {"message": message}, "stopReason": "end_turn", "usage": usage}
        elif stream:
            end = {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
            usage_chunk = {"id": "c1", "model": "m", "choices": [], "usage": USED}
            await start_stream(send)
            events = self._openai_chunk()
            for one in (end, usage_chunk):
                events += b"data: " + json.dumps(one).encode() + b"\n\n"
            await send({"type": "http.response.body", "body": events + b"data: [DONE]\n\n"})
            return
        else:
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            body = {"id": "c1", "model": "m", "choices": [choice], "usage": USED}
        await respond(send, 200, json.dumps(body).encode())
