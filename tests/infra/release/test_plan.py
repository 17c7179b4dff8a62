"""The promises of the plan, for every order of events that hypothesis can think of."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from infra.release import plan
from infra.release.state import ENDS, Effect, Event, EventKind, Phase, Run

RUN = Run(
    run_id="1",
    environment="local",
    kind="release",
    old="blue",
    new="green",
    version="v2",
    image="v2",
    old_image="v1",
    steps=(10, 50, 100),
    bake_seconds=5,
    started_at=0,
    started_by="me",
    entered_at=0,
)
WEIGHTS_NEW = {Effect.SET_WEIGHTS}
STEPS = st.lists(st.integers(1, 99), unique=True, max_size=5).map(lambda found: (*sorted(found), 100))


class Releases(RuleBasedStateMachine):
    """A world with weights and capacity in which the plan's effects are carried out as they are asked for."""

    @initialize(steps=STEPS)
    def begin(self, steps: tuple[int, ...]) -> None:
        self.run = replace(RUN, steps=steps)
        self.new_weight = 0
        self.up = {"blue": True, "green": False}
        self.events = 0

    def carry_out(self, effect: Effect) -> None:
        run = self.run
        if effect is Effect.SET_WEIGHTS:
            assert self.up[run.new], "weight for a colour that was never started"
            self.new_weight = run.target
        elif effect is Effect.RESTORE_WEIGHTS:
            assert self.up[run.old], "traffic given back to a colour that is gone"
            self.new_weight = 0
        elif effect is Effect.SCALE_UP:
            self.up[run.new] = True
        elif effect is Effect.REVIVE_OLD:
            self.up[run.old] = True
        elif effect is Effect.STOP_OLD:
            assert self.new_weight == 100, "the old colour is stopped while it carries traffic"
            self.up[run.old] = False
        elif effect in (Effect.STOP_NEW, Effect.CLEAR_NEW):
            assert self.new_weight == 0, "the new colour is stopped while it carries traffic"
            self.up[run.new] = False

    def outcome(self, kind: EventKind) -> None:
        if self.run.ended:
            return
        effect = plan.effects(self.run)[0]
        restoring_to_nothing = effect is Effect.RESTORE_WEIGHTS and not self.up[self.run.old]
        if restoring_to_nothing and kind is EventKind.DONE:
            kind = EventKind.OLD_DOWN  # the performer looks at target health first
        if kind is EventKind.DONE:
            self.carry_out(effect)
        self.run, _ = plan.advance(self.run, Event(kind, "because"), 0)

    @rule()
    def effect_is_done(self) -> None:
        self.outcome(EventKind.DONE)

    @rule()
    def controller_dies_after_the_effect_and_another_repeats_it(self) -> None:
        if not self.run.ended:
            effect = plan.effects(self.run)[0]
            if not (effect is Effect.RESTORE_WEIGHTS and not self.up[self.run.old]):
                self.carry_out(effect)
                self.carry_out(effect)

    @rule(kind=st.sampled_from([EventKind.FAILED, EventKind.NO_DATA, EventKind.DRIFT, EventKind.OLD_DOWN]))
    def effect_goes_wrong(self, kind: EventKind) -> None:
        self.outcome(kind)

    @rule(kind=st.sampled_from([EventKind.PAUSE, EventKind.RESUME, EventKind.PROMOTE, EventKind.ABORT]))
    def operator_asks(self, kind: EventKind) -> None:
        if not self.run.ended and plan.accepts(self.run, kind):
            self.run, _ = plan.advance(self.run, Event(kind, "asked"), 0)

    @invariant()
    def some_colour_takes_the_traffic(self) -> None:
        if not hasattr(self, "run"):
            return
        assert sum(self.run.weights().values()) == 100
        assert self.new_weight == 100 or self.up[self.run.old]
        assert self.new_weight == 0 or self.up[self.run.new]

    @invariant()
    def a_way_to_abort_and_a_way_to_end_exist(self) -> None:
        if not hasattr(self, "run") or self.run.ended:
            return
        assert EventKind.ABORT in plan.TABLE[self.run.phase]
        assert plan.effects(self.run)

    def teardown(self) -> None:
        if not hasattr(self, "run"):
            return
        for _ in range(200):
            if self.run.ended:
                break
            self.outcome(EventKind.DONE)
        assert self.run.ended, f"never ends from {self.run.phase}"
        aborted = self.run.phase is Phase.ABORTED
        assert not aborted or (self.new_weight == 0 and self.up[self.run.old])
        assert self.run.phase is not Phase.SUCCEEDED or self.new_weight == 100


TestReleases = Releases.TestCase
TestReleases.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


def walk(run: Run, *kinds: EventKind) -> Run:
    for kind in kinds:
        run, _ = plan.advance(run, Event(kind, "because"), 0)
    return run


def at(phase: Phase) -> Run:
    paused = Phase.BAKE if phase is Phase.PAUSED else None
    return replace(RUN, phase=phase, paused_from=paused, weight=50, step=1)


def test_the_way_forward_is_the_one_in_the_manual() -> None:
    run, seen = RUN, [RUN.phase]
    while not run.ended:
        run, _ = plan.advance(run, Event(EventKind.DONE), 0)
        if run.phase is not seen[-1]:
            seen.append(run.phase)
    shifts = [Phase.SHIFT, Phase.BAKE] * 3
    before = [Phase.PREFLIGHT, Phase.MIGRATE, Phase.LAUNCH, Phase.SETTLE, Phase.SMOKE]
    after = [Phase.LINGER, Phase.UNPIN, Phase.RETIRE, Phase.RECORD, Phase.SUCCEEDED]
    assert seen == [*before, *shifts, *after]


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in ENDS])
def test_abort_is_reachable_from_everywhere(phase: Phase) -> None:
    seen: set[Phase] = set()
    run = walk(at(phase), EventKind.ABORT)
    for _ in range(20):
        seen.add(run.phase)
        run = walk(run, EventKind.DONE)
    assert run.phase is Phase.ABORTED
    assert phase in (Phase.PREFLIGHT, Phase.WITHDRAW) or Phase.RESTORE in seen


@pytest.mark.parametrize("phase", [Phase.SHIFT, Phase.BAKE, Phase.WAIT_DATA, Phase.LINGER, Phase.UNPIN])
def test_abort_restores_weights_before_anything_else(phase: Phase) -> None:
    _, wanted = plan.advance(at(phase), Event(EventKind.ABORT, "odd"), 0)
    assert wanted[0] is Effect.RESTORE_WEIGHTS


def test_abort_while_the_old_colour_goes_away_starts_it_again_before_it_gets_traffic() -> None:
    run = walk(at(Phase.RETIRE), EventKind.ABORT)
    assert plan.effects(run) == (Effect.SET_OLD_IMAGE, Effect.REVIVE_OLD, Effect.AWAIT_OLD_HEALTHY)
    assert walk(run, *[EventKind.DONE] * 3).phase is Phase.RESTORE


@pytest.mark.parametrize("after", [(), (EventKind.RESUME,), (EventKind.RESUME, EventKind.DONE)], ids=str)
def test_weights_changed_by_hand_while_the_old_colour_goes_away_do_not_make_it_forgotten(
    after: tuple[EventKind, ...],
) -> None:
    run = walk(at(Phase.UNPIN), EventKind.DONE, EventKind.DONE, EventKind.DRIFT, *after, EventKind.ABORT)
    assert plan.effects(run) == (Effect.SET_OLD_IMAGE, Effect.REVIVE_OLD, Effect.AWAIT_OLD_HEALTHY)


def test_no_data_pauses_and_then_aborts() -> None:
    waiting = walk(at(Phase.BAKE), EventKind.NO_DATA)
    assert waiting.phase is Phase.WAIT_DATA
    assert waiting.weight == 50
    assert walk(waiting, EventKind.FAILED).phase is Phase.RESTORE


def test_changed_weights_stop_the_run_and_resume_writes_them_again() -> None:
    stopped = walk(at(Phase.BAKE), EventKind.DRIFT)
    assert (stopped.phase, plan.effects(stopped)) == (Phase.PAUSED, (Effect.AWAIT_OPERATOR,))
    resumed = walk(stopped, EventKind.RESUME)
    assert (resumed.phase, resumed.target, resumed.trust_live) == (Phase.SHIFT, 50, True)


def test_promote_goes_to_all_traffic_through_a_last_bake() -> None:
    run = walk(at(Phase.BAKE), EventKind.PROMOTE)
    assert (run.phase, run.target) == (Phase.SHIFT, 100)
    assert walk(run, EventKind.DONE).phase is Phase.BAKE


def test_the_first_reason_stays_when_the_way_back_goes_wrong_too() -> None:
    run, _ = plan.advance(at(Phase.BAKE), Event(EventKind.FAILED, "5xx"), 0)
    run, _ = plan.advance(run, Event(EventKind.OLD_DOWN, "blue is gone"), 0)
    run, _ = plan.advance(run, Event(EventKind.FAILED, "blue does not start"), 0)
    assert run.phase is Phase.FAILED
    assert run.reason == "5xx; then: blue is gone; then: blue does not start"


def test_every_phase_has_a_way_to_an_end() -> None:
    for phase in Phase:
        todo, seen = deque([at(phase)]), set()
        while todo:
            run = todo.popleft()
            if run.ended:
                break
            if (key := (run.phase, run.effect, run.step, run.revived)) not in seen:
                seen.add(key)
                todo.extend(walk(run, kind) for kind in plan.TABLE[run.phase])
        assert run.ended, phase


def test_a_run_survives_the_journal() -> None:
    run = walk(at(Phase.BAKE), EventKind.PAUSE)
    assert Run.from_dict(run.to_dict()) == run
    assert Run.from_dict({**run.to_dict(), "of_a_newer_tool": 1}) == run
