"""Did a change help? Pure: pieces of time before and after, compared by ranks.

Requests within one piece are not independent (one slow minute makes many slow requests), so a piece counts
as one observation: its p95. Four against four that do not overlap are chance once in seventy times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, Literal

from infra.advise.action import Goal
from infra.advise.settings import Pace
from infra.advise.statistics import Interval, p_smaller, shift
from infra.advise.words import percent, seconds
from infra.release import stats

Verdict = Literal["better", "worse", "same", "unknown"]
FEWEST_PIECES: Final = 3
ERROR_CHANCE: Final = 0.01
ERROR_FLOOR: Final = 0.01
"""Share of 5xx that is never a reason to undo by itself."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A short stretch of time: requests, answers with 5xx, p95 in seconds (`None` without requests), cost."""

    at: float
    requests: float
    errors: float
    p95: float | None
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change did to p95 (seconds), with the chances that the difference is an accident."""

    verdict: Verdict
    reason: str
    before: float | None = None
    after: float | None = None
    change: Interval | None = None
    p_better: float = 1.0
    p_worse: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "p95_before": self.before,
            "p95_after": self.after,
            "p95_change": self.change._asdict() if self.change is not None else None,
            "chance_if_not_better": self.p_better,
            "chance_if_not_worse": self.p_worse,
        }


def judge(before: Sequence[Piece], after: Sequence[Piece], pace: Pace) -> Effect:
    """Compare two sides. Too little to see is `unknown`, never `same`."""
    ours, theirs = _p95s(after, pace), _p95s(before, pace)
    if len(ours) < FEWEST_PIECES or len(theirs) < FEWEST_PIECES:
        return Effect(
            "unknown",
            f"too little traffic to judge: {len(theirs)} pieces of time before and {len(ours)} after have "
            f"{pace.fewest} requests, {FEWEST_PIECES} are needed on either side",
        )
    was, now = median(theirs), median(ours)
    p_better, p_worse = p_smaller(ours, theirs), p_smaller(theirs, ours)
    change = shift(theirs, ours)
    text = f"p95 {seconds(was)} → {seconds(now)}"
    if _more_errors(before, after):
        return Effect("worse", f"more answers are errors; {text}", was, now, change, p_better, p_worse)
    if p_worse <= pace.certainty and now > was * (1 + pace.margin):
        return Effect("worse", f"{text}, by chance: {percent(p_worse)}", was, now, change, p_better, p_worse)
    if p_better <= pace.certainty and now < was * (1 - pace.margin):
        return Effect(
            "better", f"{text}, by chance: {percent(p_better)}", was, now, change, p_better, p_worse
        )
    return Effect("same", f"{text}: no sure difference", was, now, change, p_better, p_worse)


def stays(effect: Effect, goal: Goal) -> bool:
    """Whether the change is kept. What nobody can see, and what costs money for nothing, is taken back."""
    if effect.verdict in ("worse", "unknown"):
        return False
    return effect.verdict == "better" or goal != "faster"


def _p95s(pieces: Sequence[Piece], pace: Pace) -> list[float]:
    return [one.p95 for one in pieces if one.p95 is not None and one.requests >= pace.fewest]


def _more_errors(before: Sequence[Piece], after: Sequence[Piece]) -> bool:
    old, old_n = sum(one.errors for one in before), sum(one.requests for one in before)
    new, new_n = sum(one.errors for one in after), sum(one.requests for one in after)
    if not new_n or new / new_n <= ERROR_FLOOR:
        return False
    chance = stats.fisher_worse(
        round(new), max(round(new), round(new_n)), round(old), max(round(old), round(old_n))
    )
    return chance < ERROR_CHANCE
