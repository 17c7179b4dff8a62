"""Statistics on little data: honest when there is nothing to know, sharp when there is."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.release import stats

EDGES = [0.01, 0.1, 0.5, 1.0, 5.0, math.inf]


def histogram(values: list[float]) -> dict[float, float]:
    return {edge: float(sum(value <= edge for value in values)) for edge in EDGES}


@given(hits=st.integers(0, 1_000), misses=st.integers(0, 1_000))
def test_the_interval_holds_the_share_and_stays_within_0_and_1(hits: int, misses: int) -> None:
    low, high = stats.wilson(hits, hits + misses, 2.33)
    share = hits / (hits + misses) if hits + misses else 0.5
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1


def test_no_data_is_no_knowledge() -> None:
    assert stats.wilson(0, 0, 2.33) == (0.0, 1.0)
    assert stats.fisher_worse(0, 0, 5, 10) == 1.0
    assert stats.quantile(0.95, {}) is None
    assert stats.slower_z({}, histogram([1.0])) == 0.0


def test_the_interval_agrees_with_the_published_example() -> None:
    # Newcombe 1998, table I: 81 of 263, 95 %: 0.2553 to 0.3662
    low, high = stats.wilson(81, 263, 1.959964)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_fishers_test_agrees_with_the_tea_lady() -> None:
    # Fisher 1935: 4 of 4 right against 0 of 4 has p = 1/70; 3 of 4 against 1 of 4 has 17/70
    assert stats.fisher_worse(4, 4, 0, 4) == pytest.approx(1 / 70)
    assert stats.fisher_worse(3, 4, 1, 4) == pytest.approx(17 / 70)


def test_the_approximation_continues_the_exact_test() -> None:
    exact = stats.fisher_worse(60, 10_000, 40, 10_000)
    beyond = stats.fisher_worse(60, 10_001, 40, 10_000)
    assert exact == pytest.approx(beyond, rel=0.4)


@given(values=st.lists(st.floats(0.001, 4.9), min_size=1, max_size=200), q=st.floats(0.01, 0.99))
def test_a_quantile_lies_in_the_bucket_of_its_rank(values: list[float], q: float) -> None:
    found = stats.quantile(q, histogram(values))
    assert found is not None
    exact = sorted(values)[max(0, math.ceil(q * len(values)) - 1)]
    bucket = next(index for index, edge in enumerate(EDGES) if exact <= edge)
    below = EDGES[bucket - 1] if bucket else 0.0
    assert below - 1e-9 <= found <= EDGES[bucket] + 1e-9


def test_a_quantile_beyond_the_last_edge_is_that_edge() -> None:
    assert stats.quantile(0.95, histogram([100.0] * 10)) == 5.0


@given(values=st.lists(st.floats(0.001, 10), min_size=1, max_size=100))
def test_nothing_is_slower_than_itself(values: list[float]) -> None:
    assert stats.slower_z(histogram(values), histogram(values)) == pytest.approx(0.0, abs=1e-6)


@given(
    new=st.lists(st.sampled_from(EDGES[:5]), min_size=1, max_size=50),
    old=st.lists(st.sampled_from(EDGES[:5]), min_size=1, max_size=50),
)
def test_what_is_slower_one_way_is_faster_the_other(new: list[float], old: list[float]) -> None:
    there = stats.slower_z(histogram(new), histogram(old))
    assert there == pytest.approx(-stats.slower_z(histogram(old), histogram(new)), abs=1e-9)


def test_equal_latencies_rarely_look_slower() -> None:
    rng = random.Random(7)
    alarms = 0
    for _ in range(500):
        draw = [rng.expovariate(5) for _ in range(400)]
        alarms += stats.slower_z(histogram(draw[:40]), histogram(draw[40:])) > 2.33
    assert alarms <= 15  # 1 % are expected
