"""A provider and one of its models: what is chosen between, and what is known about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from service.providers.base import Provider
from service.providers.catalog import ModelInfo
from service.routing.breaker import CircuitBreaker

# Weight of an observation fades with this time constant: quick to believe bad news, slow to forget.
DECAY_SECONDS: Final = 10.0
FADE_SECONDS: Final = 60.0


class Upstream:
    """A provider with its breaker and health; shared by all its targets."""

    __slots__ = ("breaker", "healthy", "last_error", "name", "provider", "sends_trace")

    def __init__(self, provider: Provider, breaker: CircuitBreaker, sends_trace: bool = False) -> None:
        self.provider = provider
        self.name = provider.name
        self.breaker = breaker
        self.healthy = True
        self.last_error = ""
        self.sends_trace = sends_trace  # it is told which trace a call belongs to


class Load:
    """What one provider/model has to do now and how long it took lately; shared by aliases.

    The average is peak-sensitive: a slower observation counts at once, a faster one pulls it down
    with the time passed (Finagle's "peak EWMA").
    """

    __slots__ = ("_clock", "_seconds", "_seen_at", "cool_until", "in_flight")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seconds = 0.0
        self._seen_at = 0.0
        self.in_flight = 0
        self.cool_until = 0.0  # told to wait (429 with retry-after): asked last until then

    def observe(self, seconds: float) -> None:
        """Seconds to the first token of a call that worked."""
        now = self._clock()
        if seconds > self._seconds:
            self._seconds = seconds
        else:
            keep = math.exp((self._seen_at - now) / DECAY_SECONDS)
            self._seconds = self._seconds * keep + seconds * (1.0 - keep)
        self._seen_at = now

    def expected(self) -> float:
        """Seconds to the first token if a call came now.

        Fades when nothing is observed, so that a once slow target is tried again.
        """
        seconds = self._seconds
        idle = self._clock() - self._seen_at
        if idle > DECAY_SECONDS:
            seconds *= math.exp(-(idle - DECAY_SECONDS) / FADE_SECONDS)
        return seconds * (self.in_flight + 1)


class Target:
    """One provider/model pair as routing sees it."""

    __slots__ = ("info", "label", "load", "model", "name", "tier", "upstream", "weight")

    def __init__(
        self,
        upstream: Upstream,
        model: str,
        info: ModelInfo | None,
        load: Load,
        *,
        weight: float = 1.0,
        tier: int = 0,
        label: str = "",
    ) -> None:
        self.upstream = upstream
        self.model = model
        self.label = label or model.partition(";")[0]  # in metrics: bounded, whatever clients write
        self.name = f"{upstream.name}/{model}"
        self.info = info
        self.load = load
        self.weight = weight
        self.tier = tier
