"""What the caches could do and do not."""

from __future__ import annotations

from collections.abc import Iterator

from infra.advise.finding import Bottleneck
from infra.advise.observed import Observed
from infra.advise.own_time import provider_share
from infra.advise.settings import Thresholds
from infra.advise.words import money, percent


def cache(seen: Observed, limits: Thresholds) -> Iterator[Bottleneck]:
    """Off, never asked, or with answers that leave too early."""
    calls = sum(one.requests for one in seen.model_endpoints())
    if calls < limits.fewest:
        return
    unreachable = seen.away.get("redis", 0.0) > limits.redis_away  # why it is not asked, then
    found = seen.caches.get("exact")
    lookups = found.lookups if found is not None else 0.0
    setting = seen.settings.get("cache_seconds")
    spent = f"{percent(provider_share(seen))} of the time of model requests is spent at providers"
    cost = f"answers cost {money(seen.cost_usd)}, the cache saved {money(seen.saved_usd)}"
    if setting is not None and setting.value == 0:
        yield Bottleneck(
            "cache_off",
            "exact",
            "the response cache is off",
            (f"cache_seconds is 0 (set by the {setting.source})",
             f"{calls:.0f} model requests, {lookups:.0f} look-ups", spent, cost),
            provider_share(seen),
            {"requests": calls},
        )  # fmt: skip
    elif unreachable:
        return
    elif lookups < 1:
        unknown = "" if setting is not None else "; whether it is on could not be asked"
        yield Bottleneck(
            "cache_unused",
            "exact",
            "no request may use the response cache",
            (f"{calls:.0f} model requests, no look-up{unknown}",
             "it answers only requests of temperature 0 without tools, and those that ask for it", spent),
            0.1 * provider_share(seen),
            {"requests": calls},
        )  # fmt: skip
    elif setting is not None and found is not None and lookups >= limits.fewest:
        rate = found.hit_rate or 0.0
        if rate < limits.cache_hit_rate and setting.value < limits.cache_short:
            yield Bottleneck(
                "cache_short",
                "exact",
                "answers leave the cache early",
                (
                    f"{percent(rate)} of {lookups:.0f} look-ups hit",
                    f"an answer lives {setting.value} s",
                    cost,
                ),
                0.3 * provider_share(seen),
                {"hit_rate": rate, "cache_seconds": float(setting.value)},
            )


def cache_full(seen: Observed, limits: Thresholds) -> Iterator[Bottleneck]:
    if seen.evicted >= limits.fewest:
        yield Bottleneck(
            "cache_full",
            "redis",
            "Redis throws keys out for want of memory",
            (f"{seen.evicted:.0f} keys were evicted",),
            0.2,
            {"evicted": seen.evicted},
        )


def redis_away(seen: Observed, limits: Thresholds) -> Iterator[Bottleneck]:
    for name, share in seen.away.items():
        if share > limits.redis_away:
            means = (
                "caches were off and limits local" if name == "redis" else "usage waited, admin writes failed"
            )
            yield Bottleneck(
                "redis_away",
                name,
                f"{name} did not answer",
                (f"{percent(share)} of the time, at the worst process: {means}",),
                share,
                {"away": share},
            )
