"""Planted bottlenecks are named with their evidence, healthy systems are left in peace, and advice fits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.advise.diagnose import RULES, diagnose
from infra.advise.finding import Bottleneck, Kind
from infra.advise.observed import (
    Agent,
    Cache,
    Endpoint,
    Instance,
    Observed,
    Provider,
    Setting,
    times,
)
from infra.advise.recommend import ADVICE, recommend
from infra.advise.settings import Thresholds
from infra.advise.statistics import Interval
from infra.release.fleet import Capacity

EDGES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, math.inf)
CHAT = "/v1/chat/completions"


def histogram(seconds: float, count: float) -> dict[float, float]:
    """`count` observations of about so long."""
    return {edge: count if edge >= seconds else 0.0 for edge in EDGES}


def provider(name: str, seconds: float, calls: float = 200, **statuses: float) -> Provider:
    return Provider(name, {"ok": calls, **statuses}, histogram(seconds, calls), seconds * calls)


def endpoint(seconds: float, requests: float = 200, path: str = CHAT, **statuses: float) -> Endpoint:
    found = times(histogram(seconds, requests), seconds * requests)
    return Endpoint("POST", path, found, seconds * requests, {"200": requests, **statuses})


HEALTHY = Observed(
    environment="local",
    since=0.0,
    until=1200.0,
    data_since=0.0,
    endpoints=(endpoint(0.11),),
    providers=(provider("a", 0.1, 100), provider("b", 0.1, 100)),
    agents=(Agent("code-analysis", {"ok": 50.0}),),
    instances=(
        Instance("one", "blue", cpu=0.3, busy=0.4, memory=1e8),
        Instance("two", "blue", cpu=0.3, busy=0.4, memory=1e8),
    ),
    caches={"exact": Cache(80, 100)},
    machine_busy=0.4,
    memory_free=0.5,
    away={"redis": 0.0, "postgres": 0.0},
    live="blue",
    capacity=Capacity(2, 1, 4),
    settings={"cache_seconds": Setting("cache_seconds", 3600, "environment")},
)


def kinds(seen: Observed) -> set[str]:
    return {one.kind for one in diagnose(seen)}


def one(seen: Observed, kind: str) -> Bottleneck:
    return next(found for found in diagnose(seen) if found.kind == kind)


def test_a_healthy_system_has_no_bottleneck() -> None:
    assert diagnose(HEALTHY) == []


PLANTED: dict[str, Observed] = {
    "slow_provider": replace(
        HEALTHY, providers=(provider("a", 0.05), provider("b", 2.0)), endpoints=(endpoint(1.1),)
    ),
    "failing_provider": replace(
        HEALTHY, providers=(provider("a", 0.1), provider("b", 0.1, 50, overloaded=50))
    ),
    "open_breaker": replace(HEALTHY, providers=(replace(provider("a", 0.1), breaker_open=0.4),)),
    "saturated": replace(
        HEALTHY, instances=(Instance("one", "blue", cpu=0.9, busy=0.97),), endpoints=(endpoint(0.4),)
    ),
    "lopsided": replace(
        HEALTHY,
        instances=(Instance("one", "blue", cpu=0.9, busy=0.95), Instance("two", "blue", cpu=0.1, busy=0.1)),
    ),
    "cache_off": replace(
        HEALTHY,
        caches={"exact": Cache()},
        settings={"cache_seconds": Setting("cache_seconds", 0, "environment")},
    ),
    "cache_short": replace(
        HEALTHY,
        caches={"exact": Cache(5, 195)},
        settings={"cache_seconds": Setting("cache_seconds", 10, "runtime")},
    ),
    "cache_unused": replace(HEALTHY, caches={"exact": Cache()}),
    "cache_full": replace(HEALTHY, evicted=500.0),
    "redis_away": replace(HEALTHY, away={"redis": 0.2}),
    "failing_endpoint": replace(HEALTHY, endpoints=(endpoint(0.11, 150, **{"503": 50.0}),)),
    "failing_agent": replace(HEALTHY, agents=(Agent("code-analysis", {"ok": 50.0, "timeout": 50.0}),)),
    "memory_short": replace(HEALTHY, memory_free=0.01),
    "memory_grows": replace(
        HEALTHY,
        until=7200.0,
        instances=(
            Instance("one", "blue", cpu=0.3, busy=0.4, memory=1e8, growth=Interval(9e3, 1e4, 2e4)),
            HEALTHY.instances[1],
        ),
    ),
    "ledger_behind": replace(HEALTHY, journal_pending=50_000.0),
    "many_debates": replace(
        HEALTHY, instances=(replace(HEALTHY.instances[0], debates=80.0), HEALTHY.instances[1])
    ),
    "surplus": replace(
        HEALTHY, instances=tuple(replace(instance, busy=0.02, cpu=0.01) for instance in HEALTHY.instances)
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", get_args(Kind))
def test_what_was_planted_is_named_alone_and_has_advice(kind: str) -> None:
    seen = PLANTED[kind]
    assert kinds(seen) == {kind}
    found = one(seen, kind)
    assert found.evidence and all(found.evidence)
    (advice,) = recommend([found], seen)
    assert advice.kind == kind
    assert advice.title and advice.because == found.summary and advice.expect


def test_the_three_together_are_all_named() -> None:
    seen = replace(
        PLANTED["saturated"],
        providers=(provider("a", 0.05), provider("b", 2.0)),
        endpoints=(endpoint(3.0),),
        settings={"cache_seconds": Setting("cache_seconds", 0, "runtime")},
        caches={"exact": Cache()},
    )
    assert kinds(seen) == {"slow_provider", "saturated", "cache_off"}
    actions = [advice.action for advice in recommend(diagnose(seen), seen) if advice.action is not None]
    assert {action.text() for action in actions} == {
        "scale blue from 2 to 3 instances", "set cache_seconds from 0 to 3600"
    }  # fmt: skip


def test_an_only_provider_is_slow_by_itself_or_not_at_all() -> None:
    def alone(seconds: float) -> Observed:
        return replace(HEALTHY, providers=(provider("a", seconds),), endpoints=(endpoint(seconds),))

    assert "slow_provider" in kinds(alone(5.0))
    assert "slow_provider" not in kinds(alone(0.5))


def test_a_slow_provider_that_hardly_anybody_asks_is_nobodys_bottleneck() -> None:
    few = replace(HEALTHY, providers=(provider("a", 0.1, 10_000), provider("b", 2.0, 21)))
    assert "slow_provider" not in kinds(few)


def test_a_slow_provider_does_not_make_the_process_look_full() -> None:
    seen = replace(
        HEALTHY, machine_busy=0.95,
        instances=(Instance("one", "blue", cpu=0.2, busy=0.3, in_flight_most=50),),
        providers=(provider("a", 2.0),), endpoints=(endpoint(2.01),),
    )  # fmt: skip
    assert "saturated" not in kinds(seen)


def test_on_a_machine_without_free_cpu_a_starved_process_counts_as_full() -> None:
    starved = replace(
        HEALTHY, machine_busy=0.97, data_since=0.0, until=100.0,
        instances=(Instance("one", "blue", cpu=0.3, busy=0.35),),
        providers=(provider("a", 0.01, 1000),), endpoints=(endpoint(0.5, 1000),),
    )  # fmt: skip
    assert "saturated" in kinds(starved)
    assert "saturated" not in kinds(replace(starved, machine_busy=0.3))


def test_no_gain_is_promised_from_a_machine_that_has_nothing_left_to_give() -> None:
    full = replace(PLANTED["saturated"], machine_busy=0.99)
    assert recommend(diagnose(full), full)[0].expect.startswith("little")
    for roomy in (PLANTED["saturated"], replace(full, environment="prod")):
        assert "goes away" in recommend(diagnose(roomy), roomy)[0].expect


def test_at_the_end_of_its_bounds_a_fleet_is_not_scaled() -> None:
    full = replace(PLANTED["saturated"], capacity=Capacity(4, 1, 4))
    (advice,) = recommend(diagnose(full), full)
    assert advice.action is None and "max_size" in advice.how
    least = replace(PLANTED["surplus"], capacity=Capacity(2, 2, 4))
    assert recommend(diagnose(least), least)[0].action is None


def test_a_cache_that_is_off_is_named_also_while_redis_is_away() -> None:
    both = replace(PLANTED["cache_off"], away={"redis": 0.2})
    assert kinds(both) == {"cache_off", "redis_away"}
    assert kinds(replace(PLANTED["cache_unused"], away={"redis": 0.2})) == {"redis_away"}


def test_without_the_settings_a_cache_that_is_never_asked_is_told_with_the_doubt() -> None:
    found = one(replace(HEALTHY, caches={"exact": Cache()}, settings={}), "cache_unused")
    assert any("could not be asked" in line for line in found.evidence)


def hundredth(found: Mapping[Any, float]) -> dict[Any, float]:
    return {key: value / 100 for key, value in found.items()}


@pytest.mark.parametrize(
    "kind",
    ["slow_provider", "failing_provider", "failing_endpoint", "failing_agent", "saturated", "cache_off"],
)
def test_nothing_is_concluded_from_hardly_any_traffic(kind: str) -> None:
    seen = PLANTED[kind]
    quiet = replace(
        seen,
        endpoints=tuple(replace(one, statuses=hundredth(one.statuses)) for one in seen.endpoints),
        providers=tuple(
            replace(one, statuses=hundredth(one.statuses), buckets=hundredth(one.buckets))
            for one in seen.providers
        ),
        agents=tuple(replace(one, outcomes=hundredth(one.outcomes)) for one in seen.agents),
    )
    assert kinds(quiet) == set()


def test_every_rule_has_something_to_say_about_something_planted() -> None:
    for rule in RULES:
        assert any(list(rule(seen, Thresholds())) for seen in PLANTED.values()), rule.__name__
    assert set(ADVICE) == set(get_args(Kind)) == set(PLANTED)


share = st.floats(0, 1, allow_nan=False)


@given(
    busy=st.lists(share, max_size=4), fast=st.floats(0.001, 5), slow=st.floats(0.001, 5),
    calls=st.integers(0, 500), capacity=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 9)),
    cache=st.integers(0, 5000), machine=share, failed=st.integers(0, 500),
)  # fmt: skip
def test_whatever_is_seen_advice_stays_within_bounds(
    busy: list[float], fast: float, slow: float, calls: int, capacity: tuple[int, int, int], cache: int,
    machine: float, failed: int,
) -> None:  # fmt: skip
    least, more, most = capacity[0], capacity[0] + capacity[1], capacity[0] + capacity[1] + capacity[2]
    seen = replace(
        HEALTHY,
        instances=tuple(Instance(f"i{n}", "blue", cpu=b, busy=b) for n, b in enumerate(busy)),
        providers=(provider("a", fast, calls), provider("b", slow, calls, overloaded=float(failed))),
        endpoints=(endpoint(fast + slow, calls),),
        capacity=Capacity(more, least, most),
        settings={"cache_seconds": Setting("cache_seconds", cache, "runtime")},
        machine_busy=machine,
    )
    targets = []
    for advice in recommend(diagnose(seen), seen):
        assert advice.priority in ("high", "medium", "low")
        if advice.action is not None:
            targets.append(advice.action.target)
            assert advice.action.before != advice.action.after
            if advice.action.kind == "scale":
                assert least <= advice.action.after <= most
    assert len(targets) == len(set(targets))
