"""Statistics that survive little traffic and zero baselines. Histograms are {upper edge: count so far}."""

from __future__ import annotations

import math
from collections.abc import Mapping

Buckets = Mapping[float, float]
"""Cumulative, as Prometheus has them; the last edge is +Inf."""


def wilson(hits: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's interval of a share: honest for few and for zero hits, (0, 1) without data."""
    if n <= 0:
        return 0.0, 1.0
    p = min(max(hits / n, 0.0), 1.0)
    middle = p + z * z / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def fisher_worse(new_hits: int, new_n: int, old_hits: int, old_n: int) -> float:
    """One-sided p-value that the new share is larger only by chance (Fisher's exact test).

    Beyond 20,000 observations the normal approximation stands in: same answer, no long sum.
    """
    total, hits = new_n + old_n, new_hits + old_hits
    if new_n == 0 or old_n == 0 or hits == 0:
        return 1.0
    if total > 20_000:
        pooled = hits / total
        error = math.sqrt(pooled * (1 - pooled) * (1 / new_n + 1 / old_n))
        return 1.0 if error == 0 else upper_tail((new_hits / new_n - old_hits / old_n) / error)
    tail = [
        math.exp(_log_choose(new_n, k) + _log_choose(old_n, hits - k) - _log_choose(total, hits))
        for k in range(new_hits, min(hits, new_n) + 1)
        if hits - k <= old_n
    ]
    return min(1.0, math.fsum(tail))


def upper_tail(z: float) -> float:
    """Chance of a standard normal value above z."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def total(buckets: Buckets) -> float:
    """Observations in a histogram."""
    return max(buckets.values(), default=0.0)


def quantile(q: float, buckets: Buckets) -> float | None:
    """Linear inside a bucket, like Prometheus; the largest finite edge for +Inf, `None` when empty."""
    n = total(buckets)
    if n <= 0:
        return None
    rank = q * n
    edge_before = count_before = 0.0
    for edge in sorted(buckets):
        count = buckets[edge]
        if count >= rank and count > count_before:
            if math.isinf(edge):
                return edge_before
            inside = (rank - count_before) / (count - count_before)
            return min(edge_before + (edge - edge_before) * inside, edge)
        edge_before, count_before = (edge_before if math.isinf(edge) else edge), count
    return edge_before


def slower_z(new: Buckets, old: Buckets) -> float:
    """Mann-Whitney's z, with ties, that new values are larger; 0 when either side is empty.

    A rank test on the buckets: nothing is assumed about the shape, and little data stays little proof.
    """
    edges = sorted(set(new) | set(old))
    ours, theirs = _per_bucket(new, edges), _per_bucket(old, edges)
    n, m = sum(ours), sum(theirs)
    if n <= 0 or m <= 0:
        return 0.0
    below = wins = ties = 0.0
    for a, b in zip(ours, theirs, strict=True):
        wins += a * (below + b / 2)
        below += b
        ties += (a + b) ** 3 - (a + b)
    size = n + m
    if size < 2:
        return 0.0
    variance = n * m / 12 * ((size + 1) - ties / (size * (size - 1)))
    return (wins - n * m / 2) / math.sqrt(variance) if variance > 0 else 0.0


def _per_bucket(buckets: Buckets, edges: list[float]) -> list[float]:
    counts, before = [], 0.0
    for edge in edges:
        upto = buckets.get(edge, before)
        counts.append(max(0.0, upto - before))
        before = max(before, upto)
    return counts


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
