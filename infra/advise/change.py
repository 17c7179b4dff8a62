"""One change and how far it has come: a value, and the pure rules by which it goes on."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from infra.advise.action import Action
from infra.advise.effect import Effect, Piece, judge, stays
from infra.advise.settings import Pace

Phase = Literal["planned", "acted", "watching", "undoing", "kept", "undone"]
ENDED: Final[frozenset[Phase]] = frozenset({"kept", "undone"})


@dataclass(frozen=True, slots=True)
class Change:
    """Everything that another process needs to go on with it. Times are epoch seconds."""

    change_id: str
    action: Action
    because: str
    """The finding that it answers."""
    evidence: tuple[str, ...]
    by: str
    planned_at: float
    before: tuple[Piece, ...]
    phase: Phase = "planned"
    acted_at: float = 0.0
    in_force_at: float = 0.0
    after: tuple[Piece, ...] = ()
    effect: Mapping[str, Any] | None = None
    note: str = ""
    """Why it was taken back."""
    ended_at: float = 0.0

    @property
    def ended(self) -> bool:
        return self.phase in ENDED

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Change:
        return cls(
            **{
                **found,
                "action": Action(**found["action"]),
                "evidence": tuple(found["evidence"]),
                "before": tuple(Piece(**one) for one in found["before"]),
                "after": tuple(Piece(**one) for one in found["after"]),
            }
        )


def plan(
    action: Action, because: str, evidence: Sequence[str], by: str, before: Sequence[Piece], now: float
) -> Change:
    """A change that nobody has begun yet; its id sorts by time."""
    identity = f"{int(now * 1000):014d}-{uuid.uuid4().hex[:6]}"
    return Change(identity, action, because, tuple(evidence), by, now, tuple(before))


def acted(change: Change, now: float) -> Change:
    return replace(change, phase="acted", acted_at=now)


def in_force(change: Change, now: float) -> Change:
    return replace(change, phase="watching", in_force_at=now)


def judged(change: Change, after: Sequence[Piece], pace: Pace, now: float) -> Change:
    """Kept, or on its way back, by what the pieces after it say."""
    effect: Effect = judge(change.before, after, pace)
    seen = replace(change, after=tuple(after), effect=effect.to_dict())
    if stays(effect, change.action.goal):
        return replace(seen, phase="kept", ended_at=now)
    why = effect.reason
    if effect.verdict == "same":
        why = f"it costs money and bought nothing: {why}"
    return replace(seen, phase="undoing", note=why)


def given_up(change: Change, why: str) -> Change:
    """It could not be brought into force, or was called off."""
    return replace(change, phase="undoing", note=why)


def undone(change: Change, now: float) -> Change:
    return replace(change, phase="undone", ended_at=now)
