"""The generic cell rate algorithm: one number per bucket, exact, no windows to straddle.

Pure arithmetic; the Lua script does the same in Redis and `tests/service/limits` compares the two. Times are
microseconds. A bucket of `rate` units a minute and `burst` units holds one "theoretical arrival time" (TAT).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MINUTE_US: Final = 60_000_000


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is limited. `scope` is the metric's label, `key` its name in Redis."""

    key: str
    scope: str
    per_minute: int
    burst: int

    @property
    def emission(self) -> float:
        """Microseconds that one unit takes to come back."""
        return MINUTE_US / self.per_minute

    @property
    def tolerance(self) -> float:
        """How far ahead of now the TAT may run: the burst in microseconds."""
        return self.emission * self.burst


@dataclass(frozen=True, slots=True)
class Verdict:
    """`ahead` is how far the TAT is ahead of now after the decision; `retry_us` is 0 when allowed."""

    allowed: bool
    ahead: float
    retry_us: float


def judge(bucket: Bucket, tat: float, now: float, cost: float) -> Verdict:
    """Whether `cost` units fit now. The caller stores `now + ahead` when all buckets allow."""
    ahead = max(tat - now, 0.0)
    wanted = ahead + bucket.emission * cost
    # The Redis script works on doubles of this size too: a microsecond is lost in the sum, not a unit.
    if wanted > bucket.tolerance + 1.0:
        return Verdict(False, ahead, wanted - bucket.tolerance)
    return Verdict(True, wanted, 0.0)


def remaining(bucket: Bucket, ahead: float) -> int:
    """Units that would be let through at once."""
    emission = MINUTE_US / bucket.per_minute
    left = (emission * bucket.burst + 1.0 - ahead) / emission
    return int(left) if left > 0.0 else 0
