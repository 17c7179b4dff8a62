"""From findings to advice: one function a kind. Pure. Only what can be taken back at once has an action."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from infra.advise.action import Action
from infra.advise.finding import Bottleneck, Kind
from infra.advise.observed import Observed
from infra.advise.own_time import own_time
from infra.advise.settings import Thresholds
from infra.advise.words import percent, seconds

Priority = Literal["high", "medium", "low"]
PRIORITIES: Final[tuple[Priority, ...]] = ("high", "medium", "low")
HEAVY: Final = 0.25
"""Weight of a finding from which its advice is of high priority."""
COMFORTABLE: Final = 0.65
"""Cores a process should use at most, when its number is chosen."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to do, why, and what may be expected of it. Without an `action` a person has to do it."""

    kind: Kind
    subject: str
    priority: Priority
    title: str
    because: str
    expect: str
    how: str
    action: Action | None = None


Advice = Callable[[Bottleneck, Observed, Thresholds], Recommendation]


def recommend(
    found: Sequence[Bottleneck], seen: Observed, limits: Thresholds | None = None
) -> list[Recommendation]:
    """Advice for each finding, the most important first; never two actions on the same thing."""
    limits = limits or Thresholds()
    made = [ADVICE[one.kind](one, seen, limits) for one in found]
    made.sort(key=lambda one: PRIORITIES.index(one.priority))
    taken: set[str] = set()
    kept = []
    for one in made:
        if one.action is not None:
            if one.action.target in taken:
                continue
            taken.add(one.action.target)
        kept.append(one)
    return kept


def _advice(one: Bottleneck, title: str, expect: str, how: str, action: Action | None = None,
            priority: Priority | None = None) -> Recommendation:  # fmt: skip
    chosen = priority or ("high" if one.weight >= HEAVY else "medium")
    return Recommendation(one.kind, one.subject, chosen, title, one.summary, expect, how, action)


def _slow_provider(one: Bottleneck, seen: Observed, limits: Thresholds) -> Recommendation:
    others = one.numbers["others_p95"]
    expect = (
        f"requests that move away answer like the others: p95 {seconds(others)} instead of "
        f"{seconds(one.numbers['p95'])}"
        if others
        else "no estimate: there is nothing to compare it with"
    )
    return _advice(
        one,
        f"send less to provider {one.subject}",
        expect,
        f"in PROVIDERS_FILE: give {one.subject} a later tier in the aliases, or set routing.policy to "
        "least_latency, or routing.hedge_after to the others' p95; then release (docs/providers.md)",
    )


def _failing_provider(one: Bottleneck, seen: Observed, limits: Thresholds) -> Recommendation:
    ratio = percent(one.numbers["error_ratio"])
    return _advice(
        one,
        f"mend or bypass provider {one.subject}",
        f"{ratio} of its calls no longer fail, nor wait for a fallback",
        "its errors are in the evidence; check its key, quota and status page, or move it to a later tier",
    )


def _open_breaker(one: Bottleneck, seen: Observed, limits: Thresholds) -> Recommendation:
    return _advice(
        one,
        f"find out why {one.subject} was taken out",
        "its share of the traffic is back",
        "alerts/runbooks/SuperAgentBreakerOpen.md; a second provider in the alias bridges it",
    )


def _saturated(one: Bottleneck, seen: Observed, limits: Thresholds) -> Recommendation:
    running = int(one.numbers["instances"])
    wanted = max(running + 1, math.ceil(running * one.numbers["busy"] / COMFORTABLE))
    waits = own_time(seen)
    own = waits.share if waits is not None else 0.0
    expect = (
        f"of the {percent(own)} of a request's time spent waiting for the process, about "
        f"{percent(own * (1 - running / wanted))} goes away"
    )
    if seen.environment == "local" and (seen.machine_busy or 0.0) >= limits.machine_busy:
        expect = f"little: all processes share this machine, whose CPUs are {percent(seen.machine_busy)} busy"
    return _scale_out(one, seen, wanted, expect)


def _many_debates(one: Bottleneck, seen: Observed, limits: Thresholds) -> Recommendation:
    running = max(1, len(seen.running))
    wanted = max(running + 1, math.ceil(running * one.numbers["debates"] / limits.debates))
    return _scale_out(one, seen, wanted, "fewer debates in each process; those that wait are begun")


def _scale_out(one: Bottleneck, seen: Observed, wanted: int, expect: str) -> Recommendation:
    capacity = seen.capacity
    if capacity is None or seen.live is None:
        return _advice(one, "scale out", expect, "the size of the fleet could not be read here")
    if capacity.desired >= capacity.maximum:
        return _advice(
            one,
            f"raise the bounds of {seen.live}",
            expect,
            f"it has all {capacity.maximum} instances that its profile allows: raise max_size "
            "(infra/stack/profiles.py), or make a request cheaper",
        )
    # From what is asked for already: what is on its way must not be asked for again.
    after = min(capacity.maximum, max(capacity.desired + 1, wanted))
    action = Action("scale", seen.live, capacity.desired, after, "faster")
    return _advice(one, action.text(), expect, "superagent advise --apply", action)


def _lopsided(one: Bottleneck, seen: Observed, limits: Thresholds) -> Recommendation:
    return _advice(
        one,
        "spread the traffic",
        "the full process gets its neighbours' share of the work",
        "few clients with long-lived connections or sticky sessions do this: shorten their keep-alive or "
        "stickiness_seconds",
    )


def _cache_off(one: Bottleneck, seen: Observed, limits: Thresholds) -> Recommendation:
    setting = seen.settings["cache_seconds"]
    action = Action(
        "setting", setting.name, setting.value, limits.cache_default, "free", setting.source == "environment"
    )
    return _advice(
        one,
        "switch the response cache on",
        "repeated requests of temperature 0 answer in milliseconds and cost nothing; how many repeat is "
        "only seen once it is on",
        "superagent advise --apply",
        action,
    )


def _cache_short(one: Bottleneck, seen: Observed, limits: Thresholds) -> Recommendation:
    setting = seen.settings["cache_seconds"]
    action = Action(
        "setting", setting.name, setting.value, limits.cache_default, "free", setting.source == "environment"
    )
    rate = percent(one.numbers["hit_rate"])
    return _advice(one, "let answers live longer in the cache", f"more than {rate} of the look-ups hit",
                   "superagent advise --apply", action)  # fmt: skip


def _cache_unused(one: Bottleneck, seen: Observed, limits: Thresholds) -> Recommendation:
    return _advice(
        one,
        "let clients use the cache",
        "repeated requests answer in milliseconds and cost nothing",
        "clients set temperature 0, or send `X-SuperAgent-Cache: use` where a kept answer will do",
        priority="low",
    )


def _cache_full(one: Bottleneck, seen: Observed, limits: Thresholds) -> Recommendation:
    return _advice(
        one,
        "give Redis more memory",
        "kept answers stay their whole life",
        "cache_node_type in the profile, or SUPERAGENT_CACHE_MAX_BYTES for the largest answer that is kept",
    )


def _redis_away(one: Bottleneck, seen: Observed, limits: Thresholds) -> Recommendation:
    return _advice(
        one,
        f"mend {one.subject}",
        "what it is needed for works all the time",
        f"alerts/runbooks/SuperAgent{one.subject.capitalize()}Down.md",
    )


def _failing_endpoint(one: Bottleneck, seen: Observed, limits: Thresholds) -> Recommendation:
    return _advice(
        one,
        f"find out why {one.subject} fails",
        f"{percent(one.numbers['error_ratio'])} of its answers are no errors any more",
        "superagent logs; a provider in this list is the likely cause",
    )


def _failing_agent(one: Bottleneck, seen: Observed, limits: Thresholds) -> Recommendation:
    return _advice(
        one, f"mend agent {one.subject}", "its messages are answered", "superagent logs; GET /v1/agents"
    )


def _memory_short(one: Bottleneck, seen: Observed, limits: Thresholds) -> Recommendation:
    return _advice(
        one, "give the machine memory", "nothing is killed for want of it", "instance_types in the profile"
    )


def _memory_grows(one: Bottleneck, seen: Observed, limits: Thresholds) -> Recommendation:
    return _advice(one, f"watch the memory of {one.subject}", "no estimate",
                   "caches fill for a while; if it goes on for a day, report it", priority="low")  # fmt: skip


def _ledger_behind(one: Bottleneck, seen: Observed, limits: Thresholds) -> Recommendation:
    return _advice(
        one, "find out what slows Postgres", "usage is booked within seconds",
        "alerts/runbooks/SuperAgentUsageJournalGrowing.md; no row is lost meanwhile",
    )  # fmt: skip


def _surplus(one: Bottleneck, seen: Observed, limits: Thresholds) -> Recommendation:
    capacity = seen.capacity
    if capacity is None or seen.live is None or capacity.desired <= capacity.minimum:
        return _advice(
            one, "nothing: this is the least size that is allowed", "none", "lower min_size", priority="low"
        )
    action = Action("scale", seen.live, capacity.desired, capacity.desired - 1, "cheaper")
    return _advice(one, action.text(), f"{percent(1 / capacity.desired)} less to pay for, the same answers",
                   "superagent advise --apply", action, "low")  # fmt: skip


ADVICE: Final[dict[Kind, Advice]] = {
    "slow_provider": _slow_provider,
    "failing_provider": _failing_provider,
    "open_breaker": _open_breaker,
    "saturated": _saturated,
    "lopsided": _lopsided,
    "cache_off": _cache_off,
    "cache_short": _cache_short,
    "cache_unused": _cache_unused,
    "cache_full": _cache_full,
    "redis_away": _redis_away,
    "failing_endpoint": _failing_endpoint,
    "failing_agent": _failing_agent,
    "memory_short": _memory_short,
    "memory_grows": _memory_grows,
    "ledger_behind": _ledger_behind,
    "many_debates": _many_debates,
    "surplus": _surplus,
}
