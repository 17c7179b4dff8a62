"""Providers that do what a test says, a clock that moves by itself when somebody sleeps, and a recorder."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from random import Random
from typing import Any

from service.providers.base import (
    CanonicalRequest,
    CanonicalResponse,
    EmbeddingRequest,
    EmbeddingResponse,
    Message,
    ProviderError,
    StreamEnd,
    StreamEvent,
    StreamStart,
    Text,
    TextDelta,
    Usage,
)
from service.providers.config import ProviderConfig, ProvidersConfig, RoutingConfig
from service.routing.context import Attempt, CallContext
from service.routing.router import Router

USED = Usage(10, 5)


class Time:
    """`sleep` takes no time but moves the clock."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Scripted:
    """Answers with the next of `script`: an error to raise, or seconds to take before the answer."""

    kind = "scripted"

    def __init__(self, name: str, models: tuple[str, ...], time: Time) -> None:
        self.name = name
        self.models = models
        self.time = time
        self.script: list[ProviderError | float] = []
        self.calls: list[CanonicalRequest] = []
        self.healthy = True
        self.closed = False
        self.streams_closed = 0

    def _next(self, request: CanonicalRequest) -> None:
        self.calls.append(request)
        step = self.script.pop(0) if self.script else 0.0
        if isinstance(step, ProviderError):
            raise step
        self.time.now += step

    async def complete(self, request: CanonicalRequest, deadline: float) -> CanonicalResponse:
        self._next(request)
        return CanonicalResponse(
            id=self.name, model=request.model, parts=(Text(self.name),), finish="stop", usage=USED
        )

    async def stream(self, request: CanonicalRequest, deadline: float) -> AsyncGenerator[StreamEvent, None]:
        try:
            self._next(request)
            yield StreamStart(self.name, request.model)
            yield TextDelta("some ")
            yield TextDelta("words")
            yield StreamEnd("stop", USED)
        finally:
            self.streams_closed += 1

    async def embed(self, request: EmbeddingRequest, deadline: float) -> EmbeddingResponse:
        return EmbeddingResponse(model=request.model, vectors=([1.0],), usage=Usage(1))

    async def check(self, deadline: float) -> None:
        if not self.healthy:
            raise ProviderError("transport", "down", provider=self.name)

    async def close(self) -> None:
        self.closed = True


class Recorder:
    """Everything the router tells, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.ends: list[tuple[int, Attempt, ProviderError | None]] = []

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [one[1:] for one in self.told if one[0] == kind]

    def ended(
        self, ctx: CallContext, attempt: Attempt, model: str, number: int, error: ProviderError | None
    ) -> None:
        self.told.append(("request", attempt.provider, model, attempt.outcome, attempt.seconds))
        self.ends.append((number, attempt, error))

    def first_token(self, provider: str, seconds: float) -> None:
        self.told.append(("first_token", provider, seconds))

    def token_pace(self, provider: str, seconds_per_token: float) -> None:
        self.told.append(("token_pace", provider, seconds_per_token))

    def usage(self, provider: str, model: str, usage: Usage, cost_usd: float) -> None:
        self.told.append(("usage", provider, model, usage, cost_usd))

    def breaker(self, provider: str, state: int) -> None:
        self.told.append(("breaker", provider, state))

    def health(self, provider: str, healthy: bool) -> None:
        self.told.append(("health", provider, healthy))

    def fallback(self, source: str, target: str) -> None:
        self.told.append(("fallback", source, target))


class Stage:
    """A router over scripted providers that all serve the model `m`, aliased `any`."""

    def __init__(self, *names: str, prices: dict[str, float] | None = None, **routing: Any) -> None:
        self.time = Time()
        self.recorder = Recorder()
        self.providers = {name: Scripted(name, ("m",), self.time) for name in names}
        priced = prices or {}
        config = ProvidersConfig(
            providers=tuple(
                ProviderConfig(
                    name=name,
                    kind="simulator",
                    models=("m",),
                    prices={"m": {"input": priced[name], "output": priced[name]}} if name in priced else {},
                )
                for name in names
            ),
            routing=RoutingConfig(**routing),
        )
        self.router = Router(
            config,
            self.recorder,
            build=lambda one: self.providers[one.name],
            clock=self.time,
            rng=Random(7),
            sleep=self.time.sleep,
        )

    def script(self, name: str, *steps: ProviderError | float | str) -> None:
        self.providers[name].script = [
            ProviderError(step, "scripted") if isinstance(step, str) else step  # type: ignore[arg-type]
            for step in steps
        ]

    def context(self, seconds: float = 60.0, policy: str | None = None) -> CallContext:
        return CallContext(request_id="r", deadline=self.time.now + seconds, policy=policy)

    async def ask(self, ctx: CallContext | None = None, model: str = "m") -> str:
        return (await self.router.complete(request(model), ctx or self.context())).text


def request(model: str = "m", **more: Any) -> CanonicalRequest:
    messages = more.pop("messages", (Message("user", (Text("hello"),)),))
    return CanonicalRequest(model=model, messages=messages, **more)
