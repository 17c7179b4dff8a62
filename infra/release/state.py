"""The words of a release: its phases, its effects, its events and the record of one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Final, Literal

from infra.stack.outputs import Colour

Kind = Literal["release", "rollback"]


class Phase(StrEnum):
    """Where a run stands. The way forward reads from top to bottom."""

    PREFLIGHT = "preflight"
    MIGRATE = "migrate"
    LAUNCH = "launch"
    SETTLE = "settle"
    SMOKE = "smoke"
    SHIFT = "shift"
    BAKE = "bake"
    WAIT_DATA = "wait-data"
    LINGER = "linger"
    UNPIN = "unpin"
    RETIRE = "retire"
    RECORD = "record"
    PAUSED = "paused"
    # the way back
    RESTORE = "restore"
    REVIVE = "revive"
    WITHDRAW = "withdraw"
    # ends
    SUCCEEDED = "succeeded"
    ABORTED = "aborted"
    REFUSED = "refused"
    FAILED = "failed"


ENDS: Final = frozenset({Phase.SUCCEEDED, Phase.ABORTED, Phase.REFUSED, Phase.FAILED})
RETREAT: Final = frozenset({Phase.RESTORE, Phase.REVIVE, Phase.WITHDRAW})


class Effect(StrEnum):
    """One thing done to the world. Each may be repeated: doing it twice is doing it once."""

    CHECK = "check"
    MIGRATE = "migrate"
    CLEAR_NEW = "clear-new"
    SET_IMAGE = "set-image"
    POINT_TEST = "point-test-listener"
    SCALE_UP = "scale-up"
    AWAIT_HEALTHY = "await-healthy"
    SMOKE = "smoke"
    SET_WEIGHTS = "set-weights"
    BAKE = "bake"
    AWAIT_DATA = "await-data"
    LINGER = "linger"
    UNPIN = "unpin"
    POINT_TEST_OLD = "point-test-listener-at-old"
    STOP_OLD = "stop-old"
    RECORD = "record"
    AWAIT_OPERATOR = "await-operator"
    RESTORE_WEIGHTS = "restore-weights"
    SET_OLD_IMAGE = "set-old-image"
    REVIVE_OLD = "revive-old"
    AWAIT_OLD_HEALTHY = "await-old-healthy"
    STOP_NEW = "stop-new"


class EventKind(StrEnum):
    """What can happen to a run: outcomes of effects, and what operators ask for."""

    DONE = "done"
    FAILED = "failed"
    NO_DATA = "no-data"
    DRIFT = "drift"
    """The live weights are not the ones this run wrote."""
    OLD_DOWN = "old-down"
    """The old colour cannot take the traffic back as it is."""
    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"


ASKS: Final = frozenset({EventKind.PAUSE, EventKind.RESUME, EventKind.PROMOTE, EventKind.ABORT})


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `reason` is what a person reads later."""

    kind: EventKind
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One release from its first check to its end: all that `resume` needs, on any machine."""

    run_id: str
    environment: str
    kind: Kind
    old: Colour
    """Carried the traffic when the run began."""
    new: Colour
    version: str
    image: str
    old_image: str
    steps: tuple[int, ...]
    """Per cent of traffic for the new colour after each step; the last is 100."""
    bake_seconds: float
    started_at: float
    """Seconds since the epoch, like every `_at`."""
    started_by: str
    entered_at: float
    """When this phase (of this step) began."""
    phase: Phase = Phase.PREFLIGHT
    effect: int = 0
    """Effects of this phase that are done."""
    step: int = 0
    weight: int = 0
    """Per cent of the new colour that this run wrote last; the old colour has the rest."""
    shifted_at: float = 0.0
    """When the new colour first got traffic."""
    stickiness_seconds: int = 0
    paused_from: Phase | None = None
    trust_live: bool = False
    """The operator saw the drift and resumed: write the intended weights over it."""
    retiring: bool = False
    """The old colour was told to go: turning back starts it again, whatever the weights say."""
    revived: int = 0
    reason: str = ""
    """Why it paused or turned back."""
    force: str = ""
    """Reason given with --force; empty without."""
    announced: str = ""
    """The last transition that was announced; a crash between the two repeats, never loses one."""
    ended_at: float = 0.0

    @property
    def ended(self) -> bool:
        return self.phase in ENDS

    @property
    def target(self) -> int:
        """Weight of the new colour at this step."""
        return self.steps[min(self.step, len(self.steps) - 1)]

    @property
    def mark(self) -> str:
        """Names this position in the run, for announcements: one for each transition."""
        return f"{self.phase}/{self.step}"

    def weights(self, new_weight: int | None = None) -> dict[Colour, int]:
        """Both colours' weights for a weight of the new one (the intended one when not given)."""
        weight = self.weight if new_weight is None else new_weight
        return {self.old: 100 - weight, self.new: weight}

    def to_dict(self) -> dict[str, Any]:
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Run:
        """The run that `to_dict` wrote; unknown keys (a newer tool's) are ignored."""
        known = {field.name for field in fields(cls)}
        values = {key: value for key, value in found.items() if key in known}
        values["steps"] = tuple(int(step) for step in values["steps"])
        values["phase"] = Phase(values["phase"])
        paused = values.get("paused_from")
        values["paused_from"] = Phase(paused) if paused else None
        return cls(**values)
