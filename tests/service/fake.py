"""A router that answers from memory: for tests of what lies before and behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from service.providers.base import (
    CanonicalRequest,
    CanonicalResponse,
    StreamEnd,
    StreamEvent,
    StreamStart,
    Text,
    TextDelta,
    Usage,
)
from service.providers.errors import ProviderError
from service.routing.context import Attempt, CallContext


class FakeRouter:
    """Answers with the last message, word by word; `fail_after` breaks a stream after that many words."""

    def __init__(self, delay: float = 0.0, fail_after: int | None = None) -> None:
        self.delay = delay
        self.fail_after = fail_after
        self.calls = 0
        self.closed_streams = 0
        self.cancelled = 0
        self.error: ProviderError | None = None

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def _begin(self, request: CanonicalRequest, ctx: CallContext) -> list[str]:
        self.calls += 1
        ctx.provider, ctx.model = "fake", request.model
        if self.error is not None:
            raise self.error
        ctx.attempts.append(Attempt("fake", request.model, "ok", 0.0))
        text = " ".join(part.text for part in request.messages[-1].parts if isinstance(part, Text))
        return text.split() or ["…"]

    async def complete(self, request: CanonicalRequest, ctx: CallContext) -> CanonicalResponse:
        words = self._begin(request, ctx)
        try:
            if self.delay:
                await asyncio.sleep(self.delay)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        ctx.usage = Usage(len(words), len(words))
        ctx.cost_usd = 0.001
        return CanonicalResponse(
            id="x", model=request.model, parts=(Text(" ".join(words)),), finish="stop", usage=ctx.usage
        )

    async def stream(self, request: CanonicalRequest, ctx: CallContext) -> AsyncGenerator[StreamEvent, None]:
        words = self._begin(request, ctx)
        try:
            yield StreamStart("x", request.model)
            for index, word in enumerate(words):
                if self.fail_after == index:
                    raise ProviderError("transport", "the upstream went away", provider="fake")
                await asyncio.sleep(self.delay)
                ctx.usage = Usage(len(words), index + 1)
                yield TextDelta(word + " ")
            ctx.usage = Usage(len(words), len(words))
            ctx.cost_usd = 0.001
            yield StreamEnd("stop", ctx.usage)
        finally:
            self.closed_streams += 1
