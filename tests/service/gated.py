"""A router whose answers come when the test says so."""

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

COST = 0.25


class GatedRouter:
    """Each `say` lets one piece of the answer out to whoever asked; `finish` ends it, `fail` breaks it."""

    def __init__(self) -> None:
        self.calls = 0
        self.ended = 0  # calls that are over, however they ended
        self.cancelled = 0
        self._pieces: asyncio.Queue[str | ProviderError | None] = asyncio.Queue()

    def say(self, *pieces: str) -> None:
        for piece in pieces:
            self._pieces.put_nowait(piece)

    def finish(self) -> None:
        self._pieces.put_nowait(None)

    def fail(self, error: ProviderError) -> None:
        self._pieces.put_nowait(error)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def complete(self, request: CanonicalRequest, ctx: CallContext) -> CanonicalResponse:
        text = [event.text async for event in self.stream(request, ctx) if isinstance(event, TextDelta)]
        assert ctx.usage is not None
        return CanonicalResponse(
            id="x", model=request.model, parts=(Text("".join(text)),), finish="stop", usage=ctx.usage
        )

    async def stream(self, request: CanonicalRequest, ctx: CallContext) -> AsyncGenerator[StreamEvent, None]:
        self.calls += 1
        ctx.provider, ctx.model = "gated", request.model
        ctx.attempts.append(Attempt("gated", request.model, "ok", 0.0))
        written = 0
        try:
            yield StreamStart("x", request.model)
            while (piece := await self._pieces.get()) is not None:
                if isinstance(piece, ProviderError):
                    raise piece
                written += 1
                yield TextDelta(piece)
            ctx.usage, ctx.cost_usd = Usage(7, written), COST
            yield StreamEnd("stop", ctx.usage)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            if ctx.usage is None:
                ctx.usage, ctx.cost_usd = Usage(7, written, estimated=True), COST
            self.ended += 1
