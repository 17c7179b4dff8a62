"""What was seen in a stretch of time: plain data, whatever it was read from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.advise.statistics import Interval
from infra.release import stats
from infra.release.fleet import Capacity
from infra.stack.outputs import Colour

Buckets = Mapping[float, float]


@dataclass(frozen=True, slots=True)
class Times:
    """Response times in seconds, as far as a histogram tells them; `None` when nothing was answered."""

    count: float
    mean: float | None
    median: float | None
    p95: float | None
    fastest: float | None
    """The fastest took at least so long (lower edge of its bucket)."""
    slowest: float | None
    """The slowest took at most so long; infinite above the largest edge."""


def times(buckets: Buckets, total_seconds: float) -> Times:
    """From a cumulative histogram and the sum of its observations."""
    count = stats.total(buckets)
    if count <= 0:
        return Times(0.0, None, None, None, None, None)
    below, before = 0.0, 0.0
    fastest: float | None = None
    slowest = math.inf
    for edge in sorted(buckets):
        if buckets[edge] - before > _NOISE * count:
            fastest = below if fastest is None else fastest
            slowest = edge
        below, before = edge, max(before, buckets[edge])
    return Times(
        count, total_seconds / count, stats.quantile(0.5, buckets), stats.quantile(0.95, buckets),
        fastest, slowest,
    )  # fmt: skip


_NOISE = 1e-9
"""Part of a count that rounding in `increase()` may leave in an empty bucket."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method and route template; `statuses` maps the status to answers."""

    method: str
    path: str
    times: Times
    seconds: float
    statuses: Mapping[str, float] = field(default_factory=dict)

    @property
    def requests(self) -> float:
        return sum(self.statuses.values())

    @property
    def errors(self) -> float:
        return sum(count for status, count in self.statuses.items() if status.startswith("5"))


@dataclass(frozen=True, slots=True)
class Provider:
    """Calls of one provider; `statuses` maps `ok` or the error class to calls."""

    name: str
    statuses: Mapping[str, float] = field(default_factory=dict)
    buckets: Buckets = field(default_factory=dict)
    seconds: float = 0.0
    cost_usd: float = 0.0
    breaker_open: float = 0.0
    """Share of the time, at the worst process."""

    @property
    def calls(self) -> float:
        return sum(self.statuses.values())

    @property
    def failed(self) -> float:
        """Calls that failed for the provider's reasons; what the client did wrong does not count."""
        return sum(count for status, count in self.statuses.items() if status not in _NOT_ITS_FAULT)

    @property
    def times(self) -> Times:
        return times(self.buckets, self.seconds)


_NOT_ITS_FAULT = frozenset({"ok", "cancelled", "bad_request", "context_too_long", "content_filtered"})


@dataclass(frozen=True, slots=True)
class Agent:
    """Messages at one agent, by outcome."""

    name: str
    outcomes: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def messages(self) -> float:
        return sum(self.outcomes.values())

    @property
    def failed(self) -> float:
        return self.outcomes.get("failed", 0.0) + self.outcomes.get("timeout", 0.0)


@dataclass(frozen=True, slots=True)
class Instance:
    """One process. `busy`: cores it used in its busier pieces of time; memory in bytes."""

    name: str
    colour: str
    cpu: float = 0.0
    busy: float = 0.0
    memory: float = 0.0
    growth: Interval | None = None
    """Bytes a second; `None` when the stretch is too short to tell."""
    in_flight: float = 0.0
    """Open requests, 95 % of the time at most so many."""
    in_flight_most: float = 0.0
    debates: float = 0.0


@dataclass(frozen=True, slots=True)
class Cache:
    hits: float = 0.0
    misses: float = 0.0

    @property
    def lookups(self) -> float:
        return self.hits + self.misses

    @property
    def hit_rate(self) -> float | None:
        return self.hits / self.lookups if self.lookups else None


@dataclass(frozen=True, slots=True)
class Setting:
    """A runtime setting of the service as its API tells it."""

    name: str
    value: int
    source: str
    """`environment` or `runtime`."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that the rules look at; absent parts are empty, `None` is not known."""

    environment: str
    since: float
    until: float
    data_since: float | None = None
    """When the oldest sample within the stretch was taken."""
    endpoints: tuple[Endpoint, ...] = ()
    providers: tuple[Provider, ...] = ()
    agents: tuple[Agent, ...] = ()
    instances: tuple[Instance, ...] = ()
    caches: Mapping[str, Cache] = field(default_factory=dict)
    saved_usd: float = 0.0
    machine_busy: float | None = None
    """Share of the machines' CPU, and least part of their memory that was free."""
    memory_free: float | None = None
    evicted: float = 0.0
    """Keys that Redis threw out for want of memory."""
    away: Mapping[str, float] = field(default_factory=dict)
    """Dependency -> share of the time it did not answer."""
    fallbacks: Mapping[str, float] = field(default_factory=dict)
    limited: Mapping[str, float] = field(default_factory=dict)
    journal_pending: float = 0.0
    live: Colour | None = None
    """The colour with the most traffic."""
    capacity: Capacity | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    """What could not be asked, and why."""

    @property
    def seconds(self) -> float:
        return self.until - self.since

    @property
    def covered(self) -> float:
        """Seconds of the stretch that there is data of."""
        return 0.0 if self.data_since is None else self.until - max(self.since, self.data_since)

    @property
    def requests(self) -> float:
        return sum(one.requests for one in self.endpoints)

    @property
    def cost_usd(self) -> float:
        return sum(one.cost_usd for one in self.providers)

    @property
    def running(self) -> tuple[Instance, ...]:
        """The processes of the live colour; all, when that is not known."""
        return tuple(one for one in self.instances if self.live is None or one.colour == self.live)

    def model_endpoints(self) -> tuple[Endpoint, ...]:
        """Endpoints whose time is either a provider's or the process's own."""
        return tuple(one for one in self.endpoints if one.path in MODEL_PATHS)


MODEL_PATHS = frozenset({"/v1/chat/completions", "/v1/messages", "/v1/completions", "/v1/embeddings"})
