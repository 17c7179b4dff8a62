"""Tests that hold for few and odd-shaped values: ranks, exact where that is possible.

Mann & Whitney 1947; Hodges & Lehmann 1963; Sen 1968. Exact p-values are counted over all ways to deal the
pooled values to the two sides (Streitberg & Röhmel's recursion on doubled ranks), so ties need no correction.
scipy would bring 100 MB for these sixty lines.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple


class Interval(NamedTuple):
    """An estimate and where the true value surely (95 %) lies."""

    low: float
    middle: float
    high: float


def p_smaller(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """One-sided p-value: `ours` lie lower than `theirs` only by chance; 1 when either is empty.

    For dozens of values, not for thousands: the work grows with the cube of their number.
    """
    if not ours or not theirs:
        return 1.0
    ranks = _doubled_ranks([*ours, *theirs])
    own = sum(ranks[: len(ours)])
    ways = _subset_sums(ranks, len(ours))
    return sum(count for total, count in ways.items() if total <= own) / math.comb(len(ranks), len(ours))


def shift(before: Sequence[float], after: Sequence[float]) -> Interval | None:
    """How far `after` lies above `before`: median of all differences (Hodges-Lehmann), with its bounds."""
    if not before or not after:
        return None
    differences = sorted(b - a for a in before for b in after)
    n, m = len(before), len(after)
    spread = 1.96 * math.sqrt(n * m * (n + m + 1) / 12)
    cut = max(0, math.floor(n * m / 2 - spread))
    return Interval(differences[cut], median(differences), differences[-1 - cut])


def trend(points: Sequence[tuple[float, float]]) -> Interval | None:
    """Slope of y over x (Theil-Sen: the median of all pairs' slopes) with Sen's interval; `None` below 3."""
    slopes = sorted((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x1 != x2)
    n = len(points)
    if n < 3 or not slopes:
        return None
    spread = 1.96 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, math.floor((len(slopes) - spread) / 2))
    return Interval(slopes[low], median(slopes), slopes[-1 - low])


def direction(slope: Interval | None) -> str:
    """`rising` or `falling` when the interval says so, else `steady`; `unknown` without one."""
    if slope is None:
        return "unknown"
    return "rising" if slope.low > 0 else "falling" if slope.high < 0 else "steady"


def _doubled_ranks(values: Sequence[float]) -> list[int]:
    """Twice the mid-rank of each value: whole numbers also for ties."""
    below = Counter(values)
    first: dict[float, int] = {}
    seen = 0
    for value in sorted(below):
        first[value] = 2 * seen + below[value] + 1
        seen += below[value]
    return [first[value] for value in values]


def _subset_sums(ranks: Sequence[int], size: int) -> Counter[int]:
    """Sum of ranks -> in how many ways `size` of them have it."""
    ways: list[Counter[int]] = [Counter() for _ in range(size + 1)]
    ways[0][0] = 1
    for rank in ranks:
        for taken in range(size - 1, -1, -1):
            for total, count in ways[taken].items():
                ways[taken + 1][total + rank] += count
    return ways[size]
