"""The router: one call in, one provider's answer out. The API knows providers through this class only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from typing import TypeVar

from msgspec import structs

from service.providers import registry
from service.providers.base import (
    CanonicalRequest,
    CanonicalResponse,
    EmbeddingRequest,
    EmbeddingResponse,
    Provider,
    ProviderError,
    StreamEnd,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
)
from service.providers.catalog import Price
from service.providers.config import ProviderConfig, ProvidersConfig, load_config
from service.providers.tokens import estimate_request
from service.routing import policies
from service.routing.breaker import CircuitBreaker
from service.routing.charges import Charges
from service.routing.context import CallContext
from service.routing.dispatch import Dispatcher, Pending, Sleep
from service.routing.health import HealthChecks, UpstreamHealth, describe
from service.routing.hedge import run_hedged
from service.routing.models import ModelEntry, Models, fitting
from service.routing.recorder import RoutingRecorder, SilentRecorder
from service.routing.target import Target, Upstream
from service.telemetry import genai

Result = TypeVar("Result")
# Far above any text, as for whole answers: what is collected of a stream (for caches, sessions and scores)
# has this limit and none of its own.
MOST_WRITTEN = 16 * 1024 * 1024
TOO_LONG = f"the answer is over {MOST_WRITTEN:,} characters"
Opened = tuple[AsyncGenerator[StreamEvent, None], StreamEvent, StreamEvent]


class Router:
    """Chooses, tries, fails over; fills the `CallContext` with what happened."""

    def __init__(
        self,
        config: ProvidersConfig,
        recorder: RoutingRecorder | None = None,
        *,
        build: Callable[[ProviderConfig], Provider] = registry.build,
        clock: Callable[[], float] = time.monotonic,
        rng: Random | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._config = config.routing
        self._recorder = recorder or SilentRecorder()
        self._charges = Charges(self._recorder)
        self._clock = clock
        self._rng = rng or Random()  # noqa: S311 - spreads load, guards nothing
        self._upstreams = {
            provider.name: Upstream(build(provider), self._breaker(provider.name), provider.send_traceparent)
            for provider in config.providers
        }
        self._models = Models(config, self._upstreams, clock)
        self._dispatch = Dispatcher(config.routing, self._recorder, clock, self._rng, sleep)
        self._checks = HealthChecks(list(self._upstreams.values()), config.routing, self._recorder, clock)

    @classmethod
    def from_file(cls, path: Path | None, recorder: RoutingRecorder | None = None) -> Router:
        """From PROVIDERS_FILE; without one, the simulator alone. Raises `ConfigError`."""
        return cls(load_config(path), recorder)

    async def start(self) -> None:
        """Begin active health checks; no provider has to be up."""
        for name in self._upstreams:
            self._recorder.breaker(name, 0)
            self._recorder.health(name, True)
        self._checks.start()

    async def close(self) -> None:
        """Stop the checks and close every connection."""
        await self._checks.stop()
        await asyncio.gather(*[upstream.provider.close() for upstream in self._upstreams.values()])

    def models(self) -> list[ModelEntry]:
        """Every model and alias a client may name."""
        return self._models.entries()

    def unpriced(self) -> list[str]:
        """Models that neither the catalog nor the file has a price for: budgets take them for free."""
        entries = [one for one in self.models() if one.owned_by != "superagent"]
        return [one.id for one in entries if one.info is None or one.info.price is None]

    def price(self, name: str) -> Price | None:
        """The dearest that a call of this name may be charged at; None where no price is known."""
        try:
            infos = [target.info for target in self._models.resolve(name)]
        except ProviderError:
            return None
        prices = [info.price for info in infos if info is not None and info.price is not None]
        return max(prices, key=lambda price: price.input + price.output, default=None)

    def knows(self, name: str) -> bool:
        """Whether a client may name this model."""
        try:
            return bool(self._models.resolve(name))
        except ProviderError:
            return False

    def health(self) -> dict[str, UpstreamHealth]:
        """Breaker and health of each provider by name."""
        return {name: describe(upstream) for name, upstream in self._upstreams.items()}

    async def complete(self, request: CanonicalRequest, ctx: CallContext) -> CanonicalResponse:
        """A whole answer. Raises `ProviderError` (see its subclasses for 404 and 503)."""
        if ctx.trace is not None and ctx.trace.recording is not None:
            ctx.asked = genai.asked(request, stream=False)

        def start(target: Target, deadline: float) -> Awaitable[CanonicalResponse]:
            return target.upstream.provider.complete(_for(target, request), deadline)

        targets = self._order(request, ctx)
        try:
            response, pending = await self._run(targets, ctx, start, _nothing)
        except asyncio.CancelledError:
            self._charges.given_up(targets, request, ctx)
            raise
        pending.ok()
        pending.target.load.observe(pending.attempt.seconds)
        self._charges.settle(pending.target, response.usage, ctx)
        if len(ctx.attempts) > 1:
            self._charges.overtaken(targets, request, ctx)
        if pending.span is not None:
            identity, model, finish = response.id, response.model, response.finish
            genai.answered(pending.span, response.usage, identity=identity, model=model, finish=finish)
        return response

    async def stream(self, request: CanonicalRequest, ctx: CallContext) -> AsyncGenerator[StreamEvent, None]:
        """Events of an answer; the first comes when the provider has begun to answer for good.

        Before it, failures move on to the next provider; after it, they are raised. Close the
        generator to hang up: the provider's connection is closed at once.
        """
        started = self._clock()
        if ctx.trace is not None and ctx.trace.recording is not None:
            ctx.asked = genai.asked(request, stream=True)

        async def start(target: Target, deadline: float) -> Opened:
            return await _open(target, request, deadline)

        targets = self._order(request, ctx)
        try:
            opened, pending = await self._run(targets, ctx, start, _hang_up)
        except asyncio.CancelledError:
            self._charges.given_up(targets, request, ctx)
            raise
        events, head, event = opened
        target = pending.target
        if target.upstream.breaker.state:
            pending.begun()
        if len(ctx.attempts) > 1:
            self._charges.overtaken(targets, request, ctx)
        begun = self._clock()
        ctx.ttft = begun - started
        ttft = pending.attempt.ttft = begun - pending.began
        target.load.observe(ttft)
        self._recorder.first_token(target.upstream.name, ttft)
        if pending.span is not None:
            genai.first_token(pending.span, head, ttft)
        written = 0
        try:
            yield head
            while True:
                kind = type(event)
                if kind is TextDelta or kind is ThinkingDelta:
                    written += len(event.text)  # type: ignore[union-attr]
                elif kind is StreamEnd:
                    break
                elif kind is ToolCallDelta:
                    written += len(event.arguments)  # type: ignore[union-attr]
                if written > MOST_WRITTEN:
                    raise ProviderError("transport", TOO_LONG, provider=target.upstream.name)
                yield event
                event = await anext(events)
            assert isinstance(event, StreamEnd)
            self._finish(pending, event.usage, ctx, begun)
            if pending.span is not None:
                genai.answered(pending.span, event.usage, finish=event.finish)
            yield event
        except ProviderError as error:
            pending.failed(error)
            raise
        except StopAsyncIteration:
            cut = ProviderError("transport", "the stream was cut", provider=target.upstream.name)
            pending.failed(cut)
            raise cut from None
        finally:
            pending.cancelled()
            if ctx.usage is None:
                usage = Usage(estimate_request(request), -(-written // 4), estimated=True)
                self._charges.settle(target, usage, ctx)
            await events.aclose()

    async def embed(self, request: EmbeddingRequest, ctx: CallContext) -> EmbeddingResponse:
        """Vectors; only targets of the same model are asked, because vectors do not compare across models."""
        if ctx.trace is not None and ctx.trace.recording is not None:
            ctx.asked = genai.embedding(request)
        targets = self._models.resolve(request.model)
        same = [target for target in targets if target.model == targets[0].model]

        def start(target: Target, deadline: float) -> Awaitable[EmbeddingResponse]:
            return target.upstream.provider.embed(structs.replace(request, model=target.model), deadline)

        response, pending = await self._dispatch.run(same, ctx, start)
        pending.ok()
        self._charges.settle(pending.target, response.usage, ctx)
        if pending.span is not None:
            genai.answered(pending.span, response.usage, model=response.model)
        return response

    # --- choosing and settling ---------------------------------------------------------------------

    def _run(
        self,
        targets: Sequence[Target],
        ctx: CallContext,
        start: Callable[[Target, float], Awaitable[Result]],
        discard: Callable[[Result], Awaitable[None]],
    ) -> Awaitable[tuple[Result, Pending]]:
        after = self._config.hedge_after
        if after > 0 and len(targets) > 1:
            return run_hedged(self._dispatch, targets, ctx, start, after, discard)
        return self._dispatch.run(targets, ctx, start)

    def _order(self, request: CanonicalRequest, ctx: CallContext) -> list[Target] | tuple[Target, ...]:
        targets = self._models.resolve(request.model)
        if len(targets) == 1:
            return targets
        policy = policies.POLICIES.get(ctx.policy or self._config.policy)
        if policy is None:
            known = ", ".join(policies.POLICIES)
            raise ProviderError(
                "bad_request", f"Unknown routing policy {str(ctx.policy)[:50]!r}; use one of {known}."
            )
        ordered = policy(fitting(targets, request), request, self._rng)
        return policies.by_tier(ordered, self._clock())

    def _finish(self, pending: Pending, usage: Usage, ctx: CallContext, begun: float) -> None:
        pending.ok()
        if usage.output_tokens > 1:
            pace = (self._clock() - begun) / (usage.output_tokens - 1)
            self._recorder.token_pace(pending.target.upstream.name, pace)
        self._charges.settle(pending.target, usage, ctx)

    def _breaker(self, name: str) -> CircuitBreaker:
        config = self._config
        return CircuitBreaker(
            self._clock,
            failures=config.breaker_failures,
            open_seconds=config.breaker_open_seconds,
            successes=config.breaker_successes,
            changed=lambda state: self._recorder.breaker(name, state),
        )


async def _nothing(_: object) -> None:
    """A whole answer that came too late needs no disposal."""


async def _hang_up(opened: Opened) -> None:
    await opened[0].aclose()


def _for(target: Target, request: CanonicalRequest) -> CanonicalRequest:
    return request if request.model == target.model else structs.replace(request, model=target.model)


async def _open(target: Target, request: CanonicalRequest, deadline: float) -> Opened:
    """A stream with its head and first event: from here on it answers for good."""
    events = target.upstream.provider.stream(_for(target, request), deadline)
    try:
        return events, await anext(events), await anext(events)
    except StopAsyncIteration:
        raise ProviderError("transport", "the stream ended before it began") from None
    except BaseException:
        await events.aclose()
        raise
