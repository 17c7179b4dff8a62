"""Where vectors come from: the local model without a network, a provider that may be slow, lie or fail."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.cache.semantic_embed import (
    FAILURES,
    REST_SECONDS,
    Embed,
    LocalEmbedder,
    NoVector,
    ProvidedEmbedder,
)
from service.cache.semantic_setup import semantic_cache
from service.providers.base import EmbeddingRequest, EmbeddingResponse, Usage
from service.providers.config import ProviderConfig, ProvidersConfig
from service.providers.errors import ProviderError
from service.routing.context import CallContext
from service.routing.router import Router
from service.settings import load
from service.storage.redis_link import Address, RedisLink
from service.telemetry.metrics import Metrics
from tests.service.fake import FakeRouter


async def test_the_local_model_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    embedder = LocalEmbedder()
    one = await embedder.embed("How do I reset my password?")
    same = await embedder.embed("How can I reset my password?")
    other = await embedder.embed("How long do potatoes take to boil?")
    assert one.shape == (256,) and abs(float(one @ one) - 1) < 1e-5
    assert float(one @ same) > 0.95
    assert float(one @ other) < 0.5


@pytest.mark.parametrize("text", ["a", "日本語の質問", "\x00", "é" * 1000, "a" * 1000, "🙂 b", "a b " * 250])
async def test_the_local_model_takes_any_text(text: str) -> None:
    embedder = LocalEmbedder()
    assert np.isfinite(await embedder.embed(text)).all()


class Provider:
    """Answers as told; `wait` seconds before."""

    def __init__(self) -> None:
        self.calls = 0
        self.wait = 0.0
        self.error: Exception | None = None
        self.vectors: tuple[Any, ...] = ([3.0] + [0.0] * 15,)

    async def embed(self, request: EmbeddingRequest, ctx: CallContext) -> EmbeddingResponse:
        self.calls += 1
        await asyncio.sleep(self.wait)
        if self.error is not None:
            raise self.error
        return EmbeddingResponse(model=request.model, vectors=self.vectors, usage=Usage(1))


async def reason(embedder: ProvidedEmbedder) -> str:
    with pytest.raises(NoVector) as caught:
        await embedder.embed("x")
    return str(caught.value)


async def test_a_provider_s_vector_is_made_as_long_as_one() -> None:
    provider = Provider()
    vector = await ProvidedEmbedder(provider.embed, "m", 5).embed("x")
    assert vector.tolist() == [1.0] + [0.0] * 15


@pytest.mark.parametrize(
    "vectors",
    [
        (),
        ([],),
        ([0.0] * 16,),
        ([float("nan")] * 16,),
        (["x"] * 16,),
        ([None] * 16,),
        ([[1.0]] * 16,),
        ([1.0] * 16,) * 2,
    ],
)
async def test_what_a_lying_provider_says_is_no_vector(vectors: tuple[Any, ...]) -> None:
    provider = Provider()
    provider.vectors = vectors
    assert await reason(ProvidedEmbedder(provider.embed, "m", 5)) == "embedder"


async def test_a_slow_provider_is_not_waited_for() -> None:
    provider = Provider()
    provider.wait = 60
    assert await reason(ProvidedEmbedder(provider.embed, "m", 0.01)) == "embedder"


async def test_after_failures_in_a_row_it_rests_and_then_is_asked_again() -> None:
    provider, now = Provider(), [100.0]
    embedder = ProvidedEmbedder(provider.embed, "m", 5, lambda: now[0])
    provider.error = ProviderError("overloaded", "no")
    for _ in range(FAILURES - 1):
        await reason(embedder)
    provider.error = None
    await embedder.embed("one success")
    provider.error = ProviderError("overloaded", "no")
    assert [await reason(embedder) for _ in range(FAILURES + 1)] == ["embedder"] * FAILURES + ["resting"]
    asked = provider.calls
    now[0] += REST_SECONDS - 0.1
    assert await reason(embedder) == "resting"
    assert provider.calls == asked
    now[0] += 0.2
    provider.error = None
    await embedder.embed("x")
    assert provider.calls == asked + 1


async def test_our_impatience_does_not_open_the_provider_s_breaker() -> None:
    class Slow:
        name, kind, models = "slow", "simulator", ("m",)

        async def embed(self, request: EmbeddingRequest, deadline: float) -> EmbeddingResponse:
            await asyncio.sleep(deadline - time.monotonic())
            raise ProviderError("timeout", "too late", provider="slow")

        async def check(self, deadline: float) -> None: ...

        async def close(self) -> None: ...

    config = ProvidersConfig(providers=(ProviderConfig(name="slow", kind="simulator", models=("m",)),))
    router = Router(config, build=lambda _: Slow())  # type: ignore[arg-type,return-value]
    embedder = ProvidedEmbedder(router.embed, "m", 0.05, lambda: 0.0)
    embedder._rests_until = -1.0
    for _ in range(10):
        embedder._failures = 0
        assert await reason(embedder) == "embedder"
    state = router.health()["slow"]
    assert state.healthy and state.breaker == "closed"
    await router.close()


# --- configured wrongly


class Knows(FakeRouter):
    embed: Embed

    def knows(self, name: str) -> bool:
        return name == "text-embedder"


def refusal(*, link: bool = True, **given: str) -> str:
    environ = {"SUPERAGENT_DATABASE_URL": "postgresql://x@y/z"} | {
        f"SUPERAGENT_{k}": v for k, v in given.items()
    }
    redis = RedisLink(Address("redis://127.0.0.1:1"), 1) if link else None
    with pytest.raises(ValueError) as caught:
        semantic_cache(load(environ), Knows(), redis, Metrics())
    return str(caught.value)


def test_an_unknown_model_is_named_with_the_fix() -> None:
    told = refusal(SEMANTIC_CACHE_EMBEDDER="nobody")
    assert "SUPERAGENT_SEMANTIC_CACHE_EMBEDDER" in told and "'nobody'" in told and "PROVIDERS_FILE" in told


def test_it_needs_redis() -> None:
    assert "SUPERAGENT_REDIS_URL" in refusal(link=False, SEMANTIC_CACHE_EMBEDDER="local")


@pytest.mark.parametrize("missing", ["wordllama", "tokenizers"])
def test_a_missing_package_is_named_with_the_fix(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    told = refusal(SEMANTIC_CACHE_EMBEDDER="local")
    assert f"the package {missing}" in told and "requirements-semantic.txt" in told


def test_without_its_packages_the_service_ends_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "hide.py").write_text(
        "import sys, runpy\nsys.modules['numpy'] = None\nrunpy.run_module('service', run_name='__main__')\n"
    )
    environ = {
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "SUPERAGENT_DATABASE_URL": "postgresql://x@127.0.0.1:1/z",
        "SUPERAGENT_REDIS_URL": "redis://127.0.0.1:1",
        "SUPERAGENT_SEMANTIC_CACHE_EMBEDDER": "local",
        "SUPERAGENT_JOURNAL_DIR": str(tmp_path / "journal"),
    }
    command = [sys.executable, str(tmp_path / "hide.py")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("SUPERAGENT_SEMANTIC_CACHE_EMBEDDER needs the package numpy")
    assert done.stderr.count("\n") == 1


def test_off_imports_nothing() -> None:
    program = (
        "import sys; from service.app import create_app; from service.settings import load;"
        "create_app(load({'SUPERAGENT_DATABASE_URL': 'postgresql://x@y/z', 'SUPERAGENT_REDIS_URL': 'redis://h'}));"
        "print([name for name in ('numpy', 'tokenizers', 'service.cache.semantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
