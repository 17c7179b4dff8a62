"""Canaries in every place where a secret or a client's words can be, and a drive of the real service through
success and each kind of failure with them.
"""

from __future__ import annotations

import base64
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from tests.service.fakes.otlp_receiver import OtlpReceiver
from tests.service.fakes.talkative import FAILURES, Talkative
from tests.service.running import Process
from tests.service.stores import Valkey

KEYS = {kind: f"canary-{kind}-4f1d9a7be0" for kind in ("oa", "claude", "gem", "rock")}
SECRETS = {
    **KEYS,
    "database": "canary-database-8c2e",
    "redis": "canary-redis-5b7d",
    "jwt": "canary-jwt-0a9f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "receiver": "canary-receiver-1d4e",
    "wrong key": "sk-canary-wrong-2f6a",
    "wrong token": "eyJhbGciOiJIUzI1NiJ9.canary-token-3e5b.c2ln",
    "query": "canary-query-6a8c",
}
WORDS = {
    name: f"canary-{name}-words"
    for name in (
        "prompt",
        "system",
        "answer",
        "tool",
        "user",
        "path",
        "malformed",
        "topic",
        "code",
        "model",
        "state",
    )
}
AT_HOME = {"debates", "debate_steps"}  # tables that hold a client's words for it


def forms(canary: str) -> list[bytes]:
    """How it could be written, its beginning included: a cut key is a key half given away."""
    raw = canary.encode()
    return [
        raw,
        raw[: max(12, len(raw) * 2 // 3)],
        base64.b64encode(raw).rstrip(b"=")[:-2],
        quote(raw).encode(),
    ]


def found(canaries: dict[str, str], data: bytes) -> list[str]:
    return [name for name, canary in canaries.items() if any(form in data for form in forms(canary))]


class Loud(Process):
    """Keeps every byte that it says."""

    def start(self) -> None:
        self.out = b""
        super().start()

    def _read(self, stream: Any) -> None:
        for line in stream:
            self.out += line
            self.log.append(json.loads(line))


class World:
    def __init__(
        self, service: Loud, receiver: OtlpReceiver, upstream: Talkative, redis: Valkey, key: str
    ) -> None:
        self.service, self.receiver, self.upstream, self.redis = service, receiver, upstream, redis
        self.secrets = {**SECRETS, "admin key": key}
        self.http = httpx.Client(base_url=service.url, timeout=30)
        self.headers = {"authorization": f"Bearer {key}", "tracestate": f"vendor={WORDS['state']}"}
        self.answers: list[tuple[str, int, bytes]] = []

    def ask(self, method: str, path: str, body: Any = None, key: str = "", **headers: str) -> httpx.Response:
        given = {**self.headers, **headers}
        if key:
            given["authorization"] = f"Bearer {key}"
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        answer = self.http.request(method, path, content=content, headers=given)
        whole = answer.content + str(answer.headers.raw).encode()
        self.answers.append((f"{method} {path}", answer.status_code, whole))
        return answer

    def raw(self, data: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self.service.port), 10) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        self.answers.append(("raw", int(answer.split()[1]) if answer else 0, answer))


def providers(url: str, folder: Path) -> dict[str, Any]:
    accounts = []
    for name, kind, base in (
        ("oa", "openai", "/oa/v1"), ("claude", "anthropic", "/claude/v1"),
        ("gem", "gemini", "/gem/v1beta"), ("rock", "bedrock", "/rock"),
    ):  # fmt: skip
        (folder / name).write_text(KEYS[name])
        models = [f"{name}-{what}" for what in ("ok", *FAILURES)]
        accounts.append(
            {
                "name": name, "kind": kind, "base_url": url + base, "key_file": str(folder / name),
                "models": models, "allow_private": True, "region": "eu-west-1",
            }
        )  # fmt: skip
    routing = {"tries_per_target": 1, "breaker_failures": 10_000, "health_interval": 0.3}
    aliases = {"fallen": ["oa/oa-500", "claude/claude-429", "oa/oa-ok"]}
    return {"providers": accounts, "aliases": aliases, "routing": routing}


def chat(model: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": WORDS["system"]}, {"role": "user", "content": WORDS["prompt"]}]
    return {"model": model, "messages": messages, "user": WORDS["user"], **more}


def drive(world: World) -> None:
    """Success and each failure through every family of endpoints."""
    call_models(world)
    talk(world)
    administer(world)
    misbehave(world)


def call_models(world: World) -> None:
    tool = {"type": "function", "function": {"name": "look", "description": WORDS["tool"], "parameters": {}}}
    assert world.ask("POST", "/v1/chat/completions", chat("oa-ok", tools=[tool])).status_code == 200
    for _ in range(2):  # the second comes from the cache
        assert world.ask("POST", "/v1/chat/completions", chat("oa-ok", temperature=0)).status_code == 200
    assert WORDS["answer"] in world.ask("POST", "/v1/chat/completions", chat("oa-ok", stream=True)).text
    assert world.ask("POST", "/v1/chat/completions", chat("fallen")).status_code == 200
    said = [{"role": "user", "content": WORDS["prompt"]}]
    for name in KEYS:
        for what in ("ok", *FAILURES):
            model = f"{name}-{what}"
            answer = world.ask("POST", "/v1/chat/completions", chat(model))
            assert (answer.status_code == 200) == (what == "ok"), (model, answer.text)
            if what != "ok":
                world.ask("POST", "/v1/chat/completions", chat(model, stream=True))
    for what in ("ok", "429", "late"):
        body = {"model": f"oa-{what}", "max_tokens": 9, "system": WORDS["system"], "messages": said}
        world.ask("POST", "/v1/messages", body)
        world.ask("POST", "/v1/messages", {**body, "stream": True})
        world.ask("POST", "/v1/completions", {"model": f"oa-{what}", "prompt": WORDS["prompt"]})
        world.ask("POST", "/v1/embeddings", {"model": f"oa-{what}", "input": WORDS["prompt"]})
    assert world.ask("POST", "/v1/chat/completions", chat(WORDS["model"])).status_code == 404


def talk(world: World) -> None:
    """Sessions, debates and agents."""
    session = world.ask("POST", "/v1/sessions", {"model": "oa-ok", "system": WORDS["system"]}).json()["id"]
    assert (
        world.ask("POST", f"/v1/sessions/{session}/messages", {"content": WORDS["prompt"]}).status_code == 200
    )
    assert WORDS["prompt"] in world.ask("GET", f"/v1/sessions/{session}").text
    world.ask("DELETE", f"/v1/sessions/{session}")
    world.ask("GET", f"/v1/sessions/{WORDS['path']}")
    for models in (("oa-ok", "oa-ok"), ("oa-503", "oa-ok"), ("oa-503", "oa-400")):
        debaters = [{"model": one, "name": f"n{number}"} for number, one in enumerate(models)]
        body = {"topic": WORDS["topic"], "participants": debaters, "rounds": 2, "consensus_threshold": 1}
        made = world.ask("POST", "/v1/debates", body)
        assert made.status_code in (200, 502, 503), made.text
    world.ask("GET", "/v1/debates")
    world.ask("POST", "/v1/debates", {"topic": WORDS["topic"], "participants": [], "x": WORDS["malformed"]})
    code = f"```python\ndef f():\n    return '{WORDS['code']}' +\n```"
    world.ask("POST", "/chat", {"message": code})
    world.ask("POST", "/chat", {"message": WORDS["prompt"], "model": "oa-500"})
    world.ask("POST", "/chat", {"message": WORDS["prompt"], "agent": WORDS["malformed"]})
    assert [world.ask("GET", "/v1/agents").status_code for _ in range(4)][-1] == 429


def administer(world: World) -> None:
    made = world.ask("POST", "/admin/api-keys", {"name": "app", "permissions": ["chat"]})
    assert made.status_code == 201
    world.secrets["client key"] = made.json()["key"]
    turned = world.ask("POST", f"/admin/api-keys/{made.json()['id']}/rotate", {})
    world.secrets["rotated key"] = turned.json()["key"]
    pair = world.ask("POST", "/auth/token", {}, key=world.secrets["client key"]).json()
    world.secrets |= {"access token": pair["access_token"], "refresh token": pair["refresh_token"]}
    world.ask("POST", "/v1/chat/completions", chat("oa-ok"), key=pair["access_token"])
    world.ask("GET", "/admin/api-keys", key=pair["access_token"])  # 403
    again = world.ask("POST", "/auth/refresh", {"refresh_token": pair["refresh_token"]}).json()
    world.secrets |= {"second access": again["access_token"], "second refresh": again["refresh_token"]}
    world.ask("POST", "/auth/refresh", {"refresh_token": pair["refresh_token"]})  # used twice
    world.ask("POST", "/auth/refresh", {"refresh_token": SECRETS["wrong token"]})
    world.ask("POST", "/auth/revoke", {"token": again["access_token"]})
    world.ask("POST", "/auth/revoke", {"token": SECRETS["wrong token"]})
    world.ask("PUT", "/admin/settings/cache_seconds", {"value": 60})
    for path in ("/admin/api-keys", "/admin/security/report", "/admin/settings", "/v1/usage", "/v1/models"):
        assert world.ask("GET", path).status_code == 200
    for path in ("/openapi.json", "/docs", "/health", "/health/live", "/health/ready"):
        world.ask("GET", path)
    for wrong in ("wrong key", "wrong token"):
        for path in ("/v1/chat/completions", "/v1/models", "/admin/api-keys"):
            assert world.ask("GET", path, key=SECRETS[wrong]).status_code in (401, 405)
    world.ask("POST", "/v1/messages", chat("oa-ok"), authorization=f"Basic {SECRETS['wrong key']}")


def misbehave(world: World) -> None:
    word = WORDS["malformed"]
    for body in (
        b'{"model": "' + word.encode(), word.encode(), f'{{"{word}": 1}}'.encode(),
        json.dumps(chat("oa-ok", temperature=word)).encode(), json.dumps(chat("oa-ok", n=word)).encode(),
        b'{"model": "oa-ok", "messages": "\\ud800' + word.encode() + b'"}',
        b'{"a":' * 5000 + word.encode(),
    ):  # fmt: skip
        for path in ("/v1/chat/completions", "/v1/messages", "/v1/embeddings", "/v1/sessions", "/chat"):
            assert 400 <= world.ask("POST", path, body).status_code < 500
    for path in (
        f"/v1/models?api_key={SECRETS['query']}", f"/v1/usage?token={SECRETS['query']}",
        f"/{WORDS['path']}", f"/v1/models/{WORDS['path']}", f"/admin/settings/{WORDS['path']}",
        f"/v1/debates/{WORDS['path']}", f"/admin/api-keys/{WORDS['path']}",
    ):  # fmt: skip
        world.ask("GET", path)
    key = world.secrets["admin key"]
    for data in (
        f"GET /{word} {word}\r\n\r\n",
        f"{word} / HTTP/1.1\r\nauthorization: Bearer {key}\r\n\r\n",
        f"GET / HTTP/1.1\r\nauthorization: Bearer {key}\r\nbad header {word}\r\n\r\n",
        f"GET / HTTP/1.1\r\nx: {word * 4000}\r\n\r\n",
        f"GET /%00{word}?{word} HTTP/1.1\r\nhost: {word}\r\norigin: http://{word}\r\n\r\n",
        f"POST /chat HTTP/1.1\r\nauthorization: Bearer {key}\r\ncontent-length: 99\r\n\r\n{word}",
    ):
        world.raw(data.encode())
