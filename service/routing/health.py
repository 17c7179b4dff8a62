"""Active health checks: find out that a provider is ill or well again without spending a client's call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import Struct

from service.background import forever
from service.providers.base import ProviderError
from service.providers.config import RoutingConfig
from service.routing.breaker import CLOSED, CircuitBreaker
from service.routing.recorder import RoutingRecorder
from service.routing.target import Upstream

CHECK_SECONDS = 5.0
STATES = ("closed", "open", "half_open")


class UpstreamHealth(Struct, frozen=True):
    """`breaker` is closed, open or half_open; `retry_in` seconds until an open one lets a probe pass."""

    breaker: str
    healthy: bool
    retry_in: float
    error: str


def describe(upstream: Upstream) -> UpstreamHealth:
    breaker: CircuitBreaker = upstream.breaker
    return UpstreamHealth(STATES[breaker.state], upstream.healthy, breaker.wait(), upstream.last_error)


class HealthChecks:
    """One task for all providers; a check counts as the breaker's probe when the breaker is not closed."""

    def __init__(
        self,
        upstreams: list[Upstream],
        config: RoutingConfig,
        recorder: RoutingRecorder,
        clock: Callable[[], float],
    ) -> None:
        self._upstreams = upstreams
        self._interval = config.health_interval
        self._recorder = recorder
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._interval > 0 and self._task is None:
            self._task = forever(self._run, "provider-health")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def check_all(self) -> None:
        """One round, all providers at once."""
        await asyncio.gather(*[self._check(upstream) for upstream in self._upstreams])

    async def _run(self) -> None:
        while True:
            await self.check_all()
            await asyncio.sleep(self._interval)

    async def _check(self, upstream: Upstream) -> None:
        breaker = upstream.breaker
        permit = None
        if breaker.state != CLOSED:
            permit = breaker.admit()
            if permit is None:
                return
        try:
            await _ask(upstream, self._clock() + CHECK_SECONDS)
        except asyncio.CancelledError:
            if permit is not None:
                breaker.release(permit)
            raise
        except Exception as error:
            shown = error if isinstance(error, ProviderError) else type(error).__name__
            upstream.healthy = False
            upstream.last_error = str(shown)
            if permit is not None:
                breaker.failure(permit)
        else:
            upstream.healthy = True
            if permit is not None:
                breaker.success(permit)
        self._recorder.health(upstream.name, upstream.healthy)


async def _ask(upstream: Upstream, deadline: float) -> None:
    """Raises unless it is there: who says that we ask too often is."""
    try:
        await upstream.provider.check(deadline)
    except ProviderError as error:
        if error.kind != "rate_limited":
            raise
