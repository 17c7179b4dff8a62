"""The semantic cache from outside: the official client, headers, the ledger, metrics, several processes."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import openai
import pytest

from service.providers.base import EmbeddingRequest, EmbeddingResponse, Usage
from service.routing.context import CallContext
from tests.parts import wait_until
from tests.service.fake import FakeRouter
from tests.service.running import Process, create_key, prepare, process, running
from tests.service.stores import valkey

pytestmark = pytest.mark.component

ON = {"SEMANTIC_CACHE_EMBEDDER": "local"}
RESET = "How do I reset my password?"
REWORDED = "how can I reset my password"


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], "temperature": 0, **more}


async def test_the_official_client_gets_reworded_answers(database_url: str, valkey_server: str) -> None:
    key, other = prepare(database_url, "chat"), create_key(database_url, "chat")
    async with (
        running(database_url, REDIS_URL=valkey_server, **ON) as up,
        openai.AsyncOpenAI(api_key=key, base_url=up.url + "/v1", max_retries=0) as client,
    ):

        async def ask(text: str, who: str = key, headers: dict[str, str] | None = None, **more: Any) -> str:
            """What the cache had to do with it; the answer must be that of `RESET` when it had."""
            mine = client.with_options(api_key=who).chat.completions
            raw = await mine.with_raw_response.create(**asked(text, **more), extra_headers=headers)
            how = raw.headers["x-superagent-cache"]
            said = raw.parse().choices[0].message.content
            assert said == (RESET if how in ("semantic", "exact") else text)
            return how

        assert await ask(RESET) == "miss"
        assert await ask(REWORDED) == "semantic"
        assert await ask(RESET) == "exact"
        # never: of another account, afresh, warm without asking for it, with tools, another context
        assert await ask(REWORDED, other) == "miss"
        assert await ask(REWORDED, headers={"cache-control": "no-cache"}) == "bypass"
        assert await ask("How could I reset my password", headers={"cache-control": "no-store"}) == "bypass"
        assert await ask("How could I reset my password?", temperature=0.7) == "bypass"
        tool = {"type": "function", "function": {"name": "t", "parameters": {"type": "object"}}}
        assert await ask("How could I reset my password!", tools=[tool]) == "bypass"
        assert await ask("How could I reset my password", model="n") == "miss"
        assert await ask("Please tell me how to reset your password") == "miss"
        brief = {"role": "system", "content": "Be brief."}
        told = await client.chat.completions.with_raw_response.create(
            model="m",
            temperature=0,
            messages=[brief, {"role": "user", "content": REWORDED}],  # type: ignore
        )
        assert told.headers["x-superagent-cache"] == "miss"

        # a hit is replayed as a stream, and a stream's answer is found
        text, how = await streamed(client, "How can I reset my password??")
        assert (text, how) == (RESET, "semantic")
        text, how = await streamed(client, "Where can I download my invoice?")
        assert how == "miss"
        _, how = await streamed(client, "where do I download my invoice")
        assert how == "semantic"
        calls = up.router.calls

        registry = up.service.metrics.registry
        assert registry.get_sample_value("superagent_cache_hits_total", {"cache": "semantic"}) == 3
        assert registry.get_sample_value("superagent_cache_hits_total", {"cache": "exact"}) == 1
        assert registry.get_sample_value("superagent_cache_saved_usd_total") == pytest.approx(0.004)

        rows = await booked(database_url, "semantic", 3)
        assert [(row["outcome"], row["cost_usd"], row["attempts"]) for row in rows] == [("ok", 0, 0)] * 3
        assert calls == up.router.calls


async def streamed(client: openai.AsyncOpenAI, text: str) -> tuple[str, str]:
    raw = await client.chat.completions.with_raw_response.create(**asked(text), stream=True)
    chunks = [chunk async for chunk in raw.parse()]
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return said.strip(), raw.headers["x-superagent-cache"]


async def booked(database_url: str, cache: str, count: int) -> list[Any]:
    connection = await asyncpg.connect(database_url)
    try:
        async with asyncio.timeout(30):
            while True:
                rows = await connection.fetch("select * from usage where cache = $1", cache)
                if len(rows) >= count:
                    return list(rows)
                await asyncio.sleep(0.05)
    finally:
        await connection.close()


async def test_identical_questions_at_once_are_one_look_and_one_call(
    database_url: str, valkey_server: str
) -> None:
    key = prepare(database_url, "chat")
    async with (
        running(database_url, FakeRouter(delay=0.2), REDIS_URL=valkey_server, **ON) as up,
        httpx.AsyncClient(base_url=up.url, headers={"authorization": f"Bearer {key}"}) as client,
    ):

        async def at_once(text: str) -> list[str]:
            sent = [client.post("/v1/chat/completions", json=asked(text)) for _ in range(8)]
            return sorted([answer.headers["x-superagent-cache"] for answer in await asyncio.gather(*sent)])

        assert await at_once(RESET) == ["miss"] + ["shared"] * 7
        found = await at_once(REWORDED)
        assert set(found) <= {"semantic", "shared"} and "semantic" in found
        assert up.router.calls == 1


class Embedding(FakeRouter):
    """Has an embedding model, too, whose every vector is the same."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = 0
        self.wait = 0.0

    def knows(self, name: str) -> bool:
        return name == "text-embedder"

    async def embed(self, request: EmbeddingRequest, ctx: CallContext) -> EmbeddingResponse:
        self.embeddings += 1
        await asyncio.sleep(self.wait)
        return EmbeddingResponse(model=request.model, vectors=([1.0] * 16,), usage=Usage(5))


async def test_a_provider_embeds_and_when_it_is_late_the_question_is_asked_all_the_same(
    database_url: str, valkey_server: str
) -> None:
    key = prepare(database_url, "chat")
    environ = {"SEMANTIC_CACHE_EMBEDDER": "text-embedder", "SEMANTIC_CACHE_TIMEOUT_SECONDS": "0.3"}
    async with (
        running(database_url, Embedding(), REDIS_URL=valkey_server, **environ) as up,
        httpx.AsyncClient(base_url=up.url, headers={"authorization": f"Bearer {key}"}) as client,
    ):

        async def ask(text: str) -> str:
            answer = await client.post("/v1/chat/completions", json=asked(text))
            assert answer.status_code == 200
            return answer.headers["x-superagent-cache"]

        assert [await ask(text) for text in (RESET, REWORDED, RESET)] == ["miss", "semantic", "exact"]
        assert up.router.embeddings == 2  # an exact hit asks for none
        up.router.wait = 60.0
        for number in range(4):
            assert await ask(f"{REWORDED} {number}") == "miss"
        assert up.router.embeddings == 5  # the fourth did not even ask
        value = up.service.metrics.registry.get_sample_value
        name = "superagent_semantic_cache_unanswered_total"
        assert (value(name, {"reason": "embedder"}), value(name, {"reason": "resting"})) == (3, 1)


def test_two_processes_share_it_and_outlive_redis(database_url: str, tmp_path: Path) -> None:
    key = prepare(database_url, "chat")

    def ask(up: Process, text: str) -> str:
        body = json.dumps(asked(text, model="echo")).encode()
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        question = urllib.request.Request(up.url + "/v1/chat/completions", body, headers)
        with urllib.request.urlopen(question, timeout=30) as answer:
            return str(answer.headers["x-superagent-cache"])

    with valkey() as store:
        environ = {"REDIS_URL": store.url, **ON}
        (tmp_path / "one").mkdir()
        (tmp_path / "other").mkdir()
        with (
            process(database_url, tmp_path / "one", **environ) as one,
            process(database_url, tmp_path / "other", **environ) as other,
        ):
            assert ask(one, RESET) == "miss"
            wait_until(lambda: ask(other, REWORDED) in ("semantic", "exact"), "the other process knows it")
            store.kill()
            assert ask(other, "How do I reset the password?") == "miss"
            store.start()
            wait_until(lambda: ask(one, RESET) == "exact", "the exact cache is back")
            wait_until(lambda: ask(one, REWORDED) in ("semantic", "exact"), "the semantic cache is back")
