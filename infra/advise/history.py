"""Whether changes did what they promised, then and now, and where p95 is heading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from infra.advise.change import Change
from infra.advise.effect import Effect, Piece, judge
from infra.advise.settings import Pace
from infra.advise.statistics import Interval, direction, trend

POINTS: Final = 24
"""Pieces that a trend is drawn through."""


@dataclass(frozen=True, slots=True)
class Trend:
    """How p95 moves: seconds an hour, with its bounds, over the pieces that had traffic."""

    seconds: float
    points: int
    slope: Interval | None

    @property
    def direction(self) -> str:
        return direction(self.slope)

    def to_dict(self) -> dict[str, Any]:
        return {
            "seconds": self.seconds,
            "points": self.points,
            "p95_seconds_per_hour": self.slope._asdict() if self.slope is not None else None,
            "direction": self.direction,
        }


def p95_trend(pieces: Sequence[Piece], seconds: float, pace: Pace) -> Trend:
    """Through the pieces that had enough requests; `unknown` with fewer than three."""
    points = [
        (one.at / 3600, one.p95) for one in pieces if one.p95 is not None and one.requests >= pace.fewest
    ]
    return Trend(seconds, len(points), trend(points))


def newest_kept(changes: Sequence[Change]) -> list[Change]:
    """Of each thing that was changed, the change that still stands."""
    found: dict[str, Change] = {}
    for change in sorted(changes, key=lambda one: one.change_id):
        if change.phase == "kept":
            found[change.action.target] = change
    return list(found.values())


def holds(change: Change, recent: Sequence[Piece], pace: Pace) -> Effect:
    """A kept change against the newest pieces: does what it brought still hold?"""
    return judge(change.before, recent, pace)


def record(change: Change, now: Effect | None = None) -> dict[str, Any]:
    """A change as `history --json` tells it."""
    found = change.to_dict()
    found["text"] = change.action.text()
    found["effect_now"] = now.to_dict() if now is not None else None
    return found
