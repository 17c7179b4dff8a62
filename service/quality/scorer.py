"""Scores a sample of the answers after they were sent, a few at a time, and records each score once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

from service.background import forever
from service.providers.base import CanonicalRequest, CanonicalResponse
from service.quality.score import score
from service.storage.journal import Journal

EVERY_SECONDS: Final = 0.25
MOST_WAITING: Final = 256
"""Further answers go unscored: under load the service answers, it does not grade."""


class Waiting(NamedTuple):
    request_id: str
    provider: str
    request: CanonicalRequest
    response: CanonicalResponse


class Scorer:
    """`wants` says whether to offer the next answer; `observe` hears provider and score."""

    def __init__(
        self,
        journal: Journal,
        share: float,
        observe: Callable[[str, float], None],
        random: Random | None = None,
    ) -> None:
        self._journal = journal
        self._share = share
        self._observe = observe
        self._random = random or Random()  # noqa: S311  # a sample, not a secret
        self._waiting: deque[Waiting] = deque()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = forever(self._run, "quality")

    async def close(self) -> None:
        """Score what waits, then stop; the journal must still be open."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        while self._waiting:
            self._one()

    def wants(self) -> bool:
        """On the request path: one comparison and one random number."""
        return len(self._waiting) < MOST_WAITING and self._random.random() < self._share

    def offer(
        self, request_id: str, provider: str, request: CanonicalRequest, response: CanonicalResponse
    ) -> None:
        """Score it later. The usage row of `request_id` must be in the journal already."""
        self._waiting.append(Waiting(request_id, provider, request, response))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            while self._waiting:
                self._one()
                await asyncio.sleep(0)  # requests go first, also between two scores

    def _one(self) -> None:
        one = self._waiting.popleft()
        found = score(one.request, one.response)
        if found is not None:
            self._journal.scored(one.request_id, time.time(), found)
            self._observe(one.provider, found)
