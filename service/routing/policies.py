"""In which order targets are asked: pure functions over what is known now."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from service.providers.base import CanonicalRequest
from service.providers.tokens import estimate_request
from service.routing.target import Target

Policy = Callable[[Sequence[Target], CanonicalRequest, Random], list[Target]]

# When the client sets no limit: a typical answer, for comparing prices only.
TYPICAL_OUTPUT_TOKENS: Final = 500


def priority(targets: Sequence[Target], request: CanonicalRequest, rng: Random) -> list[Target]:
    """As configured."""
    return list(targets)


def weighted(targets: Sequence[Target], request: CanonicalRequest, rng: Random) -> list[Target]:
    """A random order in which the chance to be first is proportional to the weight; 0 comes last.

    Exponential races give exactly that: Efraimidis and Spirakis, "Weighted random sampling with a
    reservoir", 2006.
    """
    return sorted(
        targets, key=lambda target: rng.expovariate(target.weight) if target.weight > 0 else math.inf
    )


def least_latency(targets: Sequence[Target], request: CanonicalRequest, rng: Random) -> list[Target]:
    """The quickest first, counting the calls it already has; equals in random order."""
    return sorted(targets, key=lambda target: (target.load.expected(), target.load.in_flight, rng.random()))


def cheapest(targets: Sequence[Target], request: CanonicalRequest, rng: Random) -> list[Target]:
    """The cheapest for this request first; a target without a known price comes last."""
    asked = estimate_request(request)
    answered = request.max_tokens or TYPICAL_OUTPUT_TOKENS

    def price(target: Target) -> float:
        if target.info is None or target.info.price is None:
            return math.inf
        return target.info.price.input * asked + target.info.price.output * answered

    return sorted(targets, key=price)


POLICIES: Final[dict[str, Policy]] = {
    "priority": priority,
    "weighted": weighted,
    "least_latency": least_latency,
    "cheapest": cheapest,
}


def by_tier(ordered: list[Target], now: float) -> list[Target]:
    """Lower tiers first; within a tier, those known to be ill or told to wait come last."""
    return sorted(
        ordered,
        key=lambda target: (target.load.cool_until > now, not target.upstream.healthy, target.tier),
    )
