"""The floor and the upstream as plain ASGI apps: `python -m tests.benchmarks.apps hello|upstream PORT`.

The upstream speaks OpenAI's format and does nothing: whole answers at once, streams of 22 events.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

import uvicorn

ANSWER: Final = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "The answer is forty-two, as ever. " * 8},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 60, "total_tokens": 80},
    }
).encode()
EVENTS: Final = 20


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


FIRST: Final = chunk({"role": "assistant", "content": ""})
WORD: Final = chunk({"content": "word "})
LAST: Final = chunk({}, "stop") + (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"bench","choices":[],"usage":'
    b'{"prompt_tokens":20,"completion_tokens":20,"total_tokens":40}}\n\ndata: [DONE]\n\n'
)


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """The floor: what one request costs on this server when nothing is done."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


async def upstream(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if b'"stream":true' in body.replace(b" ", b""):
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/event-stream")],
            }
        )
        for part in (FIRST, *[WORD] * EVENTS):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": LAST})
        return
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


if __name__ == "__main__":
    app = {"hello": hello, "upstream": upstream}[sys.argv[1]]
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[2]), loop="uvloop", http="httptools", lifespan="off",
        access_log=False, log_level="error", timeout_keep_alive=120,
    )  # fmt: skip
