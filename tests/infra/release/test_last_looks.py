"""The looks before each step that cannot be taken back: a colour that carries traffic is never stopped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.release.lease import LeaseLost
from infra.release.router import HealthState, Router, Routing, Target, WeightsDiffer
from infra.release.state import Effect, EventKind, Phase, Run
from infra.stack.outputs import Colour
from tests.infra.release.world import Behaviour, Operator, World, client


def standing(operator: Operator, phase: Phase, weight: int) -> Run:
    """A run in the middle: both colours have machines, the journal says that the new one has `weight`."""
    run = operator.new_run("v2", phase=phase, weight=weight)
    operator.fleet.set_image(run.new, "v2")
    operator.fleet.scale_up(run.new, run.old)
    return run


def route(operator: Operator, green: int) -> None:
    weights: dict[Colour, int] = {"blue": 100 - green, "green": green}
    operator.router.write(weights, pin=False, stickiness_seconds=30)


@pytest.mark.parametrize(
    ("effect", "phase", "weight", "live"),
    [
        (Effect.SET_WEIGHTS, Phase.SHIFT, 10, 30),
        (Effect.BAKE, Phase.BAKE, 50, 30),
        (Effect.AWAIT_DATA, Phase.WAIT_DATA, 50, 30),
        (Effect.UNPIN, Phase.UNPIN, 100, 60),
        (Effect.STOP_OLD, Phase.RETIRE, 100, 60),
        (Effect.STOP_NEW, Phase.WITHDRAW, 0, 40),
    ],
    ids=str,
)
def test_every_look_sees_weights_that_somebody_changed_and_stops_nothing(
    world: World, effect: Effect, phase: Phase, weight: int, live: int
) -> None:
    operator = Operator(world)
    run = standing(operator, phase, weight)
    route(operator, live)
    for _ in range(3):
        event = operator.effects.poll(run, effect)
        world.clock.time += 10
        assert event is not None
        assert event.kind is EventKind.DRIFT
    assert not [line for line in world.log if line.startswith("scale-down")]


def test_the_old_colour_is_not_stopped_when_the_new_one_falls_ill_at_the_last_moment(world: World) -> None:
    operator = Operator(world)
    run = standing(operator, Phase.RETIRE, 100)
    route(operator, 100)
    world.behaviours["v2"] = Behaviour(becomes_healthy=False)
    event = operator.effects.poll(run, Effect.STOP_OLD)
    assert event is not None
    assert (event.kind, event.reason[:16]) == (EventKind.FAILED, "blue stays up, b")
    assert "scale-down blue" not in world.log


@pytest.mark.parametrize(
    ("effect", "phase", "weight"),
    [
        (Effect.SET_WEIGHTS, Phase.SHIFT, 0),
        (Effect.RESTORE_WEIGHTS, Phase.RESTORE, 50),
        (Effect.UNPIN, Phase.UNPIN, 100),
        (Effect.STOP_OLD, Phase.RETIRE, 100),
        (Effect.STOP_NEW, Phase.WITHDRAW, 0),
    ],
    ids=str,
)
def test_an_owner_whose_looks_took_longer_than_its_lease_writes_and_stops_nothing(
    world: World, effect: Effect, phase: Phase, weight: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = Operator(world, name="alice"), Operator(world, name="bob")
    alice.lease.take("release v2")
    run = standing(alice, phase, weight)
    alice.router.write(run.weights(), pin=True, stickiness_seconds=30)
    alice.effects.profile = replace(alice.profile, propagation=0.0)
    look = alice.router.read

    def slowly() -> Routing:
        found = look()
        if alice.lease.token == 1 and not bob.lease.token:
            world.clock.time += alice.profile.lease + 5
            bob.lease.take("take over")
        return found

    monkeypatch.setattr(alice.router, "read", slowly)
    written: list[str] = []
    monkeypatch.setattr(alice.router, "write", lambda *_, **__: written.append("weights"))
    with pytest.raises(LeaseLost):
        alice.effects.poll(run, effect)
    assert written == []
    assert not [line for line in world.log if line.startswith("scale-down")]


def test_a_drain_that_the_stack_allows_for_longer_is_waited_for(world: World) -> None:
    operator = Operator(world)
    run = standing(operator, Phase.RETIRE, 100)
    route(operator, 100)
    world.behaviours["v1"] = Behaviour(stops=False)
    client("elbv2").modify_target_group_attributes(
        TargetGroupArn=world.outputs.target_group_arns["blue"],
        Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "3500"}],
    )
    assert operator.effects.poll(run, Effect.STOP_OLD) is None
    world.clock.time += 3_500
    assert operator.effects.poll(run, Effect.STOP_OLD) is None
    world.clock.time += 3_500 + operator.profile.stop_timeout
    event = operator.effects.poll(run, Effect.STOP_OLD)
    assert event is not None
    assert event.reason.startswith("blue has not stopped")


def test_nothing_starts_with_a_migration_that_the_old_version_cannot_live_with(world: World) -> None:
    class Contracts:
        def problem(self, run: Run) -> str | None:
            return "0009_drop.sql contracts"

        def record(self) -> None:
            raise AssertionError("nothing was applied")

    operator = Operator(world)
    operator.effects.migrations = Contracts()
    run = operator.start("v2")
    assert (run.phase, run.reason) == (Phase.REFUSED, "0009_drop.sql contracts")
    assert world.log == []


def test_a_test_listener_that_does_not_follow_is_noticed(world: World) -> None:
    class Deaf:
        """An API that says yes and does nothing."""

        def modify_listener(self, **_: Any) -> dict[str, Any]:
            return {}

        def describe_listeners(self, **request: Any) -> Any:
            return client("elbv2").describe_listeners(**request)

    with pytest.raises(WeightsDiffer, match="does not forward to blue"):
        Router(Deaf(), world.outputs).point_test_listener("blue")


def test_a_run_that_moved_since_it_was_read_is_not_written(world: World) -> None:
    """The same owner in two processes: the token alone would let both write."""
    operator = Operator(world)
    operator.lease.take("release v2")
    run = operator.new_run("v2")
    operator.journal.create(run, operator.lease)
    other = Operator(world)
    other.lease.token = operator.lease.token
    other.journal.read(run.run_id)
    operator.journal.write(replace(run, phase=Phase.MIGRATE), operator.lease, "check done")
    with pytest.raises(Exception, match="took this release over"):
        other.journal.write(replace(run, phase=Phase.BAKE), other.lease, "late")
    found = operator.journal.read(run.run_id)
    assert found is not None
    assert found.phase is Phase.MIGRATE


def test_an_instance_that_dies_after_the_release_is_replaced_and_no_traffic_goes_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = Operator(world)
    run = replace(standing(operator, Phase.LINGER, 100), entered_at=world.clock.now())
    route(operator, 100)
    states: list[HealthState] = ["healthy", "unhealthy"]
    monkeypatch.setattr(
        type(operator.router),
        "targets",
        lambda self, colour: [Target(str(n), 80, state, "") for n, state in enumerate(states)],
    )
    timeout = operator.profile.settle_timeout
    for seconds in (1_000.0, timeout / 2, timeout / 2 - 0.1):
        world.clock.time += seconds
        assert operator.effects.poll(run, Effect.LINGER) is None
    states[1] = "healthy"
    world.clock.time += 1_000  # over its life, however long clients are pinned
    event = operator.effects.poll(run, Effect.LINGER)
    assert event is not None and event.kind is EventKind.DONE


@pytest.mark.parametrize(("states", "later"), [(["healthy", "unhealthy"], True), (["unhealthy"], False)])
def test_a_new_colour_that_stays_ill_or_is_gone_gives_the_traffic_back(
    world: World, monkeypatch: pytest.MonkeyPatch, states: list[HealthState], later: bool
) -> None:
    operator = Operator(world)
    run = replace(standing(operator, Phase.LINGER, 100), entered_at=world.clock.now())
    route(operator, 100)
    monkeypatch.setattr(
        type(operator.router),
        "targets",
        lambda self, colour: [Target(str(n), 80, state, "") for n, state in enumerate(states)],
    )
    if later:
        assert operator.effects.poll(run, Effect.LINGER) is None
        world.clock.time += operator.profile.settle_timeout
    event = operator.effects.poll(run, Effect.LINGER)
    assert event is not None and event.kind is EventKind.FAILED
