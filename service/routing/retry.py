"""When to try again: a budget so that repeats never become the load, and jitter so that they spread."""

from __future__ import annotations

from random import Random


class RetryBudget:
    """Each call earns `ratio` of a repeat, up to `cap` saved; a repeat costs one.

    With everything failing, upstreams see at most (1 + ratio) times the calls of the clients.
    """

    def __init__(self, ratio: float = 0.2, cap: float = 10.0) -> None:
        self._ratio = ratio
        self._cap = cap
        self._saved = cap

    def earn(self) -> None:
        saved = self._saved + self._ratio
        self._saved = saved if saved < self._cap else self._cap

    def spend(self) -> bool:
        """True when the repeat may be made."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True


def full_jitter(attempt: int, base: float, cap: float, rng: Random) -> float:
    """Seconds to wait before repeat number `attempt` (from 1): anything up to the doubled bound.

    Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (full jitter).
    """
    return rng.uniform(0.0, min(cap, base * 2.0 ** min(attempt - 1, 30)))
