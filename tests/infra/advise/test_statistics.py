"""Rank tests and trends against counting everything, known values and their own symmetries."""

from __future__ import annotations

import math
from itertools import combinations
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.advise.statistics import Interval, direction, p_smaller, shift, trend

few = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=5)
values = st.lists(st.floats(0, 1e3, allow_nan=False), min_size=1, max_size=8)


def counted(ours: list[float], theirs: list[float]) -> float:
    """The definition: of all ways to deal the values, how many give ours a rank sum that is no larger."""
    pooled = [*ours, *theirs]
    ranks = [sum(b < a for b in pooled) + (sum(b == a for b in pooled) + 1) / 2 for a in pooled]
    own = sum(ranks[: len(ours)])
    deals = [sum(ranks[place] for place in deal) for deal in combinations(range(len(pooled)), len(ours))]
    return sum(total <= own for total in deals) / len(deals)


@given(few, few)
def test_the_chance_is_what_counting_every_deal_gives_also_with_ties(
    ours: list[float], theirs: list[float]
) -> None:
    assert p_smaller(ours, theirs) == pytest.approx(counted(ours, theirs))


@pytest.mark.parametrize(
    ("n", "m", "chance"), [(4, 4, 1 / 70), (3, 3, 1 / 20), (5, 5, 1 / 252), (8, 8, 1 / 12870)]
)
def test_two_sides_that_do_not_overlap(n: int, m: int, chance: float) -> None:
    ours, theirs = [float(i) for i in range(n)], [100.0 + i for i in range(m)]
    assert p_smaller(ours, theirs) == pytest.approx(chance)
    assert p_smaller(theirs, ours) == pytest.approx(1)


def test_equal_values_prove_nothing() -> None:
    assert p_smaller([1.0] * 6, [1.0] * 6) == 1
    assert p_smaller([], [1.0]) == 1


@given(values, st.floats(-100, 100, allow_nan=False))
def test_a_shift_is_found_and_lies_in_its_interval(before: list[float], by: float) -> None:
    found = shift(before, [value + by for value in before])
    assert found is not None
    assert found.middle == pytest.approx(by, abs=1e-6)
    assert found.low <= found.middle <= found.high


def test_a_clear_shift_excludes_zero() -> None:
    found = shift([100.0, 101, 102, 103], [50.0, 51, 52, 53])
    assert found is not None and found.high < 0


@given(
    st.lists(st.floats(0, 100, allow_nan=False), min_size=4, max_size=20), st.floats(-5, 5, allow_nan=False)
)
def test_a_trend_survives_one_wild_value(noise: list[float], slope: float) -> None:
    points = [(float(x), slope * x) for x in range(12)]
    points[5] = (5.0, 1e6)
    found = trend(points)
    assert found is not None
    assert found.middle == pytest.approx(slope, abs=1e-6)


def test_directions_need_proof() -> None:
    assert direction(trend([(float(x), 2.0 * x) for x in range(10)])) == "rising"
    assert direction(trend([(float(x), -2.0 * x) for x in range(10)])) == "falling"
    assert direction(trend([(float(x), float((x * 7) % 5)) for x in range(10)])) == "steady"
    assert direction(trend([(0.0, 1.0), (1.0, 2.0)])) == "unknown"
    assert direction(None) == "unknown"


def test_the_slope_is_the_median_of_all_pairs() -> None:
    points = [(0.0, 1.0), (1.0, 5.0), (3.0, 2.0), (4.0, 9.0)]
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2)]
    found = trend(points)
    assert isinstance(found, Interval) and math.isclose(found.middle, median(slopes))
