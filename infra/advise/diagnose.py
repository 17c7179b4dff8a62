"""What holds the system back, with evidence. Pure: one rule a function, all of them in `RULES`."""

from __future__ import annotations

from typing import Final

from infra.advise.finding import Bottleneck, Rule
from infra.advise.observed import Observed
from infra.advise.rules import answers, caches, processes
from infra.advise.settings import Thresholds

RULES: Final[tuple[Rule, ...]] = (
    answers.slow_provider,
    answers.failing_provider,
    answers.open_breaker,
    answers.failing_endpoint,
    answers.failing_agent,
    processes.saturated,
    processes.lopsided,
    processes.memory,
    processes.ledger_behind,
    processes.many_debates,
    processes.surplus,
    caches.cache,
    caches.cache_full,
    caches.redis_away,
)


def diagnose(seen: Observed, limits: Thresholds | None = None) -> list[Bottleneck]:
    """Every finding, the weightiest first. Little traffic is no evidence: rules keep silent then."""
    limits = limits or Thresholds()
    found = [one for rule in RULES for one in rule(seen, limits)]
    return sorted(found, key=lambda one: (one.kind == "surplus", -one.weight, one.kind, one.subject))
