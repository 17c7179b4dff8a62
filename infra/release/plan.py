"""A release as a pure function: (run, event, now) -> (run, effects). Nothing here touches the world.

TABLE is the whole machine. The new colour's weight is one number and the old colour has the rest, so
no state can hold both at zero; PROPERTIES of the table are tested in tests/infra/release/test_plan.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from infra.release.state import ENDS, RETREAT, Effect, Event, EventKind, Phase, Run

MAX_REVIVALS: Final = 2
"""Times the old colour is started again on the way back, before a person is needed."""

EFFECTS: Final[dict[Phase, tuple[Effect, ...]]] = {
    Phase.PREFLIGHT: (Effect.CHECK,),
    Phase.MIGRATE: (Effect.MIGRATE,),
    Phase.LAUNCH: (Effect.CLEAR_NEW, Effect.SET_IMAGE, Effect.POINT_TEST, Effect.SCALE_UP),
    Phase.SETTLE: (Effect.AWAIT_HEALTHY,),
    Phase.SMOKE: (Effect.SMOKE,),
    Phase.SHIFT: (Effect.SET_WEIGHTS,),
    Phase.BAKE: (Effect.BAKE,),
    Phase.WAIT_DATA: (Effect.AWAIT_DATA,),
    Phase.LINGER: (Effect.LINGER,),
    Phase.UNPIN: (Effect.UNPIN,),
    Phase.RETIRE: (Effect.POINT_TEST_OLD, Effect.STOP_OLD),
    Phase.RECORD: (Effect.RECORD,),
    Phase.PAUSED: (Effect.AWAIT_OPERATOR,),
    Phase.RESTORE: (Effect.RESTORE_WEIGHTS,),
    Phase.REVIVE: (Effect.SET_OLD_IMAGE, Effect.REVIVE_OLD, Effect.AWAIT_OLD_HEALTHY),
    Phase.WITHDRAW: (Effect.STOP_NEW,),
}

Rule = Callable[[Run], Run]


def to(phase: Phase) -> Rule:
    return lambda run: replace(run, phase=phase)


def _shifted(run: Run) -> Run:
    return replace(run, phase=Phase.BAKE, weight=run.target, trust_live=False)


def _baked(run: Run) -> Run:
    if run.step + 1 < len(run.steps):
        return replace(run, phase=Phase.SHIFT, step=run.step + 1)
    return replace(run, phase=Phase.LINGER)


def _restored(run: Run) -> Run:
    return replace(run, phase=Phase.WITHDRAW, weight=0)


def _pause(run: Run) -> Run:
    return replace(run, phase=Phase.PAUSED, paused_from=run.phase)


def _drift(run: Run) -> Run:
    # Once traffic moved, the way on is to write this step's weights once more.
    if run.phase is Phase.LAUNCH:
        return _pause(run)
    return replace(run, phase=Phase.PAUSED, paused_from=Phase.SHIFT, trust_live=True)


def _unpause(run: Run) -> Run:
    return replace(run, phase=run.paused_from or Phase.PREFLIGHT, paused_from=None, reason="")


def _promote(run: Run) -> Run:
    return replace(run, phase=Phase.SHIFT, step=len(run.steps) - 1, paused_from=None, reason="")


def _promote_paused(run: Run) -> Run:
    return _promote(run) if run.paused_from in PROMOTABLE else run


def _retire(run: Run) -> Run:
    return replace(run, phase=Phase.RETIRE, retiring=True)


def _back(run: Run) -> Run:
    if run.retiring:
        return _revive(replace(run, paused_from=None))
    return replace(run, phase=Phase.RESTORE, paused_from=None)


def _back_from_pause(run: Run) -> Run:
    if run.paused_from is Phase.PREFLIGHT:
        return replace(run, phase=Phase.ABORTED, paused_from=None)
    if run.paused_from is Phase.RETIRE:
        return _revive(replace(run, paused_from=None))
    return _back(run)


def _revive(run: Run) -> Run:
    if run.revived >= MAX_REVIVALS:
        return replace(run, phase=Phase.FAILED)
    return replace(run, phase=Phase.REVIVE, revived=run.revived + 1)


PROMOTABLE: Final = frozenset({Phase.SHIFT, Phase.BAKE, Phase.WAIT_DATA})

_FORWARD: Final[dict[EventKind, Rule]] = {
    EventKind.FAILED: _back,
    EventKind.ABORT: _back,
    EventKind.PAUSE: _pause,
}
_CARRYING: Final[dict[EventKind, Rule]] = {**_FORWARD, EventKind.DRIFT: _drift}

TABLE: Final[dict[Phase, dict[EventKind, Rule]]] = {
    Phase.PREFLIGHT: {
        EventKind.DONE: to(Phase.MIGRATE),
        EventKind.FAILED: to(Phase.REFUSED),
        EventKind.ABORT: to(Phase.ABORTED),
        EventKind.PAUSE: _pause,
    },
    Phase.MIGRATE: {**_FORWARD, EventKind.DONE: to(Phase.LAUNCH)},
    Phase.LAUNCH: {**_CARRYING, EventKind.DONE: to(Phase.SETTLE)},
    Phase.SETTLE: {**_FORWARD, EventKind.DONE: to(Phase.SMOKE)},
    Phase.SMOKE: {**_FORWARD, EventKind.DONE: to(Phase.SHIFT)},
    Phase.SHIFT: {**_CARRYING, EventKind.DONE: _shifted, EventKind.PROMOTE: _promote},
    Phase.BAKE: {
        **_CARRYING,
        EventKind.DONE: _baked,
        EventKind.NO_DATA: to(Phase.WAIT_DATA),
        EventKind.PROMOTE: _promote,
    },
    Phase.WAIT_DATA: {**_CARRYING, EventKind.DONE: _baked, EventKind.PROMOTE: _promote},
    Phase.LINGER: {**_CARRYING, EventKind.DONE: to(Phase.UNPIN)},
    Phase.UNPIN: {**_CARRYING, EventKind.DONE: _retire},
    # From here the old colour may be gone: turning back starts it again before any weight moves.
    Phase.RETIRE: {
        EventKind.DONE: to(Phase.RECORD),
        EventKind.DRIFT: _drift,
        EventKind.ABORT: _revive,
        EventKind.FAILED: _pause,
        EventKind.PAUSE: _pause,
    },
    Phase.RECORD: {
        EventKind.DONE: to(Phase.SUCCEEDED),
        EventKind.ABORT: _revive,
        EventKind.FAILED: to(Phase.FAILED),
    },
    Phase.PAUSED: {
        EventKind.DONE: _unpause,
        EventKind.RESUME: _unpause,
        EventKind.PROMOTE: _promote_paused,
        EventKind.ABORT: _back_from_pause,
        EventKind.FAILED: _back_from_pause,
    },
    Phase.RESTORE: {
        EventKind.DONE: _restored,
        EventKind.OLD_DOWN: _revive,
        EventKind.FAILED: to(Phase.FAILED),
        EventKind.ABORT: to(Phase.RESTORE),
    },
    Phase.REVIVE: {
        EventKind.DONE: to(Phase.RESTORE),
        EventKind.FAILED: to(Phase.FAILED),
        EventKind.ABORT: to(Phase.REVIVE),
    },
    Phase.WITHDRAW: {
        EventKind.DONE: to(Phase.ABORTED),
        EventKind.DRIFT: to(Phase.FAILED),
        EventKind.FAILED: to(Phase.FAILED),
        EventKind.ABORT: to(Phase.WITHDRAW),
    },
}


def effects(run: Run) -> tuple[Effect, ...]:
    """What is still to be done in this phase; the first of it is under way or next."""
    return EFFECTS.get(run.phase, ())[run.effect :]


def accepts(run: Run, kind: EventKind) -> bool:
    """Whether this event changes the run where it stands."""
    return kind in TABLE.get(run.phase, {}) and advance(run, Event(kind), run.entered_at)[0] != run


def advance(run: Run, event: Event, now: float) -> tuple[Run, tuple[Effect, ...]]:
    """The run after `event`, and the effects it now asks for; an event without a rule changes nothing."""
    rule = TABLE.get(run.phase, {}).get(event.kind)
    if rule is None:
        return run, effects(run)
    if event.kind is EventKind.DONE and run.effect + 1 < len(EFFECTS[run.phase]):
        after = replace(run, effect=run.effect + 1)
        return after, effects(after)
    after = rule(run)
    if after == run or (after.phase is run.phase and run.phase in RETREAT):
        return run, effects(run)
    after = replace(after, effect=0, entered_at=now, reason=_reason(run, after, event))
    if after.phase in ENDS:
        after = replace(after, ended_at=now)
    if after.phase is Phase.BAKE and not after.shifted_at:
        after = replace(after, shifted_at=now)
    return after, effects(after)


def _reason(before: Run, after: Run, event: Event) -> str:
    # The first cause stays: what follows on the way back adds to it, never hides it.
    if before.phase in RETREAT and event.reason and before.reason:
        return f"{before.reason}; then: {event.reason}"
    if event.kind is EventKind.DONE and before.phase not in RETREAT:
        return ""
    return event.reason or after.reason
