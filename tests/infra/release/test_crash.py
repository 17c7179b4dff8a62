"""The controller dies before and after every single call that a release makes; `resume` always ends well.

The calls are those that a real run makes, not a list, so a new call is covered the day it is written. The
world is copied (by fork) at each of them; in the copy the controller is dead and another operator resumes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.release.state import Phase, Run
from tests.infra.release.crash import Boundary, at_the_boundary, in_a_copy_of_the_world, promise_kept
from tests.infra.release.world import PROFILE, Behaviour, Operator, World, new_world

# Few polls, so that there are few calls: what counts is each kind of call at each place in the plan.
QUICK = replace(
    PROFILE,
    steps=(50, 100),
    bake=1.0,
    poll=1.0,
    propagation=1.0,
    rollback_window=1.0,
    idle_for=1.0,
    old_life_limit=1.0,
)
SCENARIOS = {"succeeds": Behaviour(), "aborts": Behaviour(errors=0.5)}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    # Nothing leaves the controller between two calls, so "before" finds the worlds of "after" once more; a
    # release that turns back makes most of the calls of one that succeeds.
    ("side", "scenario"),
    [
        ("after", "aborts"),
        pytest.param("after", "succeeds", marks=pytest.mark.soak),
        pytest.param("before", "aborts", marks=pytest.mark.soak),
        pytest.param("before", "succeeds", marks=pytest.mark.soak),
    ],
)
def test_killed_at_any_call_resume_ends_well(tmp_path: Path, scenario: str, side: str) -> None:
    errors: dict[str, str] = {}
    with new_world(tmp_path) as world, promise_kept(world):
        world.behaviours["v2"] = SCENARIOS[scenario]
        boundary = Boundary()
        alice = Operator(world, QUICK, "alice")

        def die_and_resume() -> None:
            boundary.muted = True
            world.check_traffic()
            check_the_end(world, resume(world), scenario)

        def at(place: str) -> None:
            if place.startswith(side) and (error := in_a_copy_of_the_world(die_and_resume)):
                errors[place] = error

        boundary.at = at
        with at_the_boundary(alice, boundary):
            ended = alice.start("v2")
        check_the_end(world, ended, scenario)
    assert errors == {}
    assert set(boundary.calls) >= EVERY_KIND[scenario]


def resume(world: World) -> Run | None:
    """What an operator does after the crash, once the dead owner's lease has run out."""
    world.clock.time += QUICK.lease + 5
    bob = Operator(world, QUICK, "bob")
    current = bob.journal.current()
    if current is None or (current.ended and current.announced == current.mark):
        return current
    return bob.resume()


def check_the_end(world: World, ended: Run | None, scenario: str) -> None:
    world.check_traffic()
    if ended is None:  # died before the journal knew of it: as if it had never begun
        assert world.weights() == {"blue": 100, "green": 0}
        assert world.log == []
        return
    assert ended.phase is (Phase.SUCCEEDED if scenario == "succeeds" else Phase.ABORTED), ended.reason
    carries, idle = (ended.new, ended.old) if ended.phase is Phase.SUCCEEDED else (ended.old, ended.new)
    assert world.weights()[carries] == 100
    assert world.fleet_state[carries]
    assert not world.fleet_state[idle]
    assert ended.announced == ended.mark


BOTH = {
    "TransactWriteItems", "GetItem", "PutItem", "ModifyListener", "DescribeListeners", "DescribeTargetHealth",
    "PutParameter", "GetParameter", "Publish", "fleet.migrate", "fleet.scale_up", "fleet.scale_down",
    "fleet.stopped", "fleet.rollout", "smoke.check", "source.window", "migrations.problem",
}  # fmt: skip
EVERY_KIND = {"succeeds": BOTH | {"fleet.in_flight", "DescribeTargetGroupAttributes"}, "aborts": BOTH}
