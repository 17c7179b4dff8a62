"""Who is slow and who fails: providers, endpoints, agents."""

from __future__ import annotations

from collections.abc import Iterator

from infra.advise.finding import Bottleneck
from infra.advise.observed import Observed, Provider
from infra.advise.own_time import provider_share
from infra.advise.settings import Thresholds
from infra.advise.words import percent, seconds
from infra.release import stats


def slow_provider(seen: Observed, limits: Thresholds) -> Iterator[Bottleneck]:
    """Clearly slower than the others, or slow by itself when there is no other, and much of the time."""
    busy = [one for one in seen.providers if one.times.count >= limits.fewest]
    all_seconds = sum(one.seconds for one in seen.providers)
    for one in busy:
        share = one.seconds / all_seconds if all_seconds > 0 else 0.0
        p95 = one.times.p95 or 0.0
        if share < limits.slow_share:
            continue
        others = _together([other for other in busy if other is not one])
        theirs = stats.quantile(0.95, others)
        if theirs is None:
            if p95 < limits.slow_alone:
                continue
            compared = f"there is no other provider with {limits.fewest} calls to compare with"
        else:
            large = p95 > limits.slow_factor * theirs and p95 > theirs + limits.slow_margin
            if not large or stats.slower_z(one.buckets, others) < limits.confidence_z:
                continue
            compared = f"the other providers' p95 is {seconds(theirs)}"
        yield Bottleneck(
            "slow_provider",
            one.name,
            f"provider {one.name} is slow",
            (
                f"p95 {seconds(p95)}, median {seconds(one.times.median)} over {one.times.count:.0f} calls",
                compared,
                f"{percent(share)} of all time at providers is spent there",
            ),
            share * provider_share(seen),
            {"p95": p95, "others_p95": theirs or 0.0, "calls": one.times.count},
        )


def failing_provider(seen: Observed, limits: Thresholds) -> Iterator[Bottleneck]:
    for one in seen.providers:
        low, _ = stats.wilson(one.failed, one.calls, limits.confidence_z)
        if one.calls >= limits.fewest and low > limits.provider_errors:
            kinds = sorted(((count, status) for status, count in one.statuses.items()), reverse=True)
            yield Bottleneck(
                "failing_provider",
                one.name,
                f"provider {one.name} fails often",
                (
                    f"{one.failed:.0f} of {one.calls:.0f} calls failed, surely over {percent(low)}",
                    ", ".join(f"{status} {count:.0f}" for count, status in kinds if status != "ok"),
                ),
                one.failed / max(1.0, seen.requests),
                {"error_ratio": one.failed / one.calls, "calls": one.calls},
            )


def open_breaker(seen: Observed, limits: Thresholds) -> Iterator[Bottleneck]:
    for one in seen.providers:
        if one.breaker_open > limits.breaker_open:
            yield Bottleneck(
                "open_breaker",
                one.name,
                f"the breaker of {one.name} was open",
                (f"{percent(one.breaker_open)} of the time, at the worst process",),
                one.breaker_open / max(1, len(seen.providers)),
                {"open_share": one.breaker_open},
            )


def failing_endpoint(seen: Observed, limits: Thresholds) -> Iterator[Bottleneck]:
    for one in seen.endpoints:
        low, _ = stats.wilson(one.errors, one.requests, limits.confidence_z)
        if one.requests >= limits.fewest and low > limits.endpoint_errors:
            yield Bottleneck(
                "failing_endpoint",
                f"{one.method} {one.path}",
                f"{one.method} {one.path} answers with 5xx",
                (f"{one.errors:.0f} of {one.requests:.0f}, surely over {percent(low)}",),
                one.errors / max(1.0, seen.requests),
                {"error_ratio": one.errors / one.requests},
            )


def failing_agent(seen: Observed, limits: Thresholds) -> Iterator[Bottleneck]:
    for one in seen.agents:
        low, _ = stats.wilson(one.failed, one.messages, limits.confidence_z)
        if one.messages >= limits.fewest and low > limits.agent_errors:
            yield Bottleneck(
                "failing_agent",
                one.name,
                f"agent {one.name} fails often",
                (f"{one.failed:.0f} of {one.messages:.0f} messages, surely over {percent(low)}",),
                one.failed / max(1.0, seen.requests),
                {"error_ratio": one.failed / one.messages},
            )


def _together(providers: list[Provider]) -> dict[float, float]:
    edges = {edge for one in providers for edge in one.buckets}
    return {edge: sum(one.buckets.get(edge, 0.0) for one in providers) for edge in edges}
