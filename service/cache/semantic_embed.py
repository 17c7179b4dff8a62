"""Texts to vectors: by a small model in this process, or by a provider that is given little time."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import mmap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from service.cache.semantic_index import Vector, unit
from service.providers.base import EmbeddingRequest, EmbeddingResponse
from service.providers.errors import ProviderError
from service.routing.context import CallContext

FAILURES: Final = 3  # in a row, then
REST_SECONDS: Final = 10.0  # no question waits for this provider
# The router's deadline is far away: our impatience must not open the provider's circuit breaker for chats.
PROVIDER_SECONDS: Final = 30.0

Embed = Callable[[EmbeddingRequest, CallContext], Awaitable[EmbeddingResponse]]


class NoVector(Exception):
    """There is none, or none in time; the argument is the reason for the metric."""


class Embedder(Protocol):
    """`name` tells vector spaces apart: vectors of another name are never compared."""

    name: str

    async def embed(self, text: str) -> Vector:
        """Of length 1. Raises `NoVector` and nothing else (but cancellation)."""


class LocalEmbedder:
    """The mean of one vector a token, from the files inside the package `wordllama`.

    Its own loader looks for the tokenizer in the wrong folder and then downloads it: here the files are read
    without it. The vectors are mapped into memory: processes share them, and only those in use are read. A
    thousand characters take about a millisecond, so the event loop does it itself.
    """

    name = "local:wordllama:l2_supercat_256"

    def __init__(self) -> None:
        """Raises `ValueError` when the package is not what it was."""
        from tokenizers import Tokenizer

        spec = importlib.util.find_spec("wordllama")
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(name="wordllama")
        home = Path(spec.origin).parent
        try:
            tokenizer: Any = Tokenizer.from_file(
                str(home / "tokenizers" / "l2_supercat_tokenizer_config.json")
            )
            self._table = _table(home / "weights" / "l2_supercat_256.safetensors")
        except Exception as error:  # tokenizers raises a bare Exception
            raise ValueError(f"the files of the package wordllama cannot be read ({error})") from None
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer

    async def embed(self, text: str) -> Vector:
        # To this model "How" and "how" are two words and "?" is one: what but begins or ends a sentence goes.
        text = text.strip().rstrip("?!. ")
        text = text[:1].lower() + text[1:]
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        vector = unit(self._table[ids].astype(np.float32).mean(axis=0)) if ids else None
        if vector is None:
            raise NoVector("embedder")
        return vector


class ProvidedEmbedder:
    """A configured model, through the router. One that fails or is late `FAILURES` times in a row is left
    alone for a while, so that a slow provider does not slow every question down.
    """

    def __init__(
        self, embed: Embed, model: str, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = f"model:{model}"
        self._embed = embed
        self._model = model
        self._seconds = seconds
        self._clock = clock
        self._failures = 0
        self._rests_until = 0.0

    async def embed(self, text: str) -> Vector:
        now = self._clock()
        if now < self._rests_until:
            raise NoVector("resting")
        request = EmbeddingRequest(model=self._model, inputs=(text,))
        ctx = CallContext(request_id="semantic-cache", deadline=time.monotonic() + PROVIDER_SECONDS)
        vector = None
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._embed(request, ctx)
            vector = unit(response.vectors[0]) if len(response.vectors) == 1 else None
        except (TimeoutError, ProviderError, ValueError, TypeError):
            pass
        if vector is None:
            self._failed()
            raise NoVector("embedder")
        self._failures = 0
        return vector

    def _failed(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES:
            self._rests_until = self._clock() + REST_SECONDS


def _table(file: Path) -> Any:
    """The only tensor of a safetensors file: length of the head, head in JSON, numbers."""
    with file.open("rb") as opened:
        data = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    begin = 8 + int.from_bytes(data[:8], "little")
    what = json.loads(data[8:begin])["embedding.weight"]
    if what["dtype"] != "F16":
        raise ValueError(f"dtype {what['dtype']}")
    data.madvise(mmap.MADV_WILLNEED)
    return np.frombuffer(data, np.float16, offset=begin).reshape(what["shape"])
