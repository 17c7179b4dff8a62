"""What a rule finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from infra.advise.observed import Observed
from infra.advise.settings import Thresholds

Kind = Literal[
    "slow_provider", "failing_provider", "open_breaker", "saturated", "lopsided", "cache_off", "cache_short",
    "cache_unused", "cache_full", "redis_away", "failing_endpoint", "failing_agent", "memory_short",
    "memory_grows", "ledger_behind", "many_debates", "surplus",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """One finding. `subject` is what it is about (a provider, a process, …), `weight` from 0 to 1 how much of
    the requests' time, or of the requests, it concerns."""

    kind: Kind
    subject: str
    summary: str
    evidence: tuple[str, ...]
    weight: float = 0.0
    numbers: dict[str, float] = field(default_factory=dict)


Rule = Callable[[Observed, Thresholds], Iterator[Bottleneck]]
