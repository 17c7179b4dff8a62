"""Whole releases in a small world: what goes well, what goes wrong, and what operators ask for."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from infra.release.journal import Ask
from infra.release.lease import LeaseLost
from infra.release.state import EventKind, Phase, Run
from infra.stack.outputs import Colour
from tests.infra.release.world import PROFILE, Behaviour, Operator, World


def history(world: World, run: Run) -> list[str]:
    return [entry.text for entry in Operator(world, name="reader").journal.history(run.run_id)]


def sent(world: World) -> list[dict[str, Any]]:
    """What SNS was given, as moto keeps it."""
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.sns import sns_backends

    backend = sns_backends[DEFAULT_ACCOUNT_ID][world.outputs.region]
    return [
        json.loads(message[1]) for message in backend.topics[world.outputs.alert_topic_arn].sent_notifications
    ]


def test_a_good_version_takes_over_and_the_old_colour_goes(world: World) -> None:
    run = Operator(world).start("v2")
    assert run.phase is Phase.SUCCEEDED, run.reason
    assert world.weights() == {"blue": 0, "green": 100}
    assert world.fleet_state["blue"] == {}
    assert {machine.version for machine in world.fleet_state["green"].values()} == {"v2"}
    assert Operator(world).lease.holder() is None


def test_the_migration_runs_before_the_new_colour_exists(world: World) -> None:
    Operator(world).start("v2")
    assert world.log.index("migrate v2") < world.log.index("scale-up green")


def test_the_next_release_goes_to_the_other_colour(world: World) -> None:
    Operator(world).start("v2")
    run = Operator(world).start("v3")
    assert run.phase is Phase.SUCCEEDED, run.reason
    assert world.weights() == {"blue": 100, "green": 0}


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (Behaviour(becomes_healthy=False), "unhealthy"),
        (Behaviour(errors=0.2), "answered with 5xx"),
        (Behaviour(slow=5.0), "p95"),
        (Behaviour(healthy_for_polls=12), "unhealthy"),
        (Behaviour(smoke="header build is 'v1', expected 'v2'"), "header build"),
        (Behaviour(data=False), "no data"),
    ],
    ids=["never healthy", "5xx", "5 times slower", "crashes under load", "wrong version", "no metrics"],
)
def test_a_bad_version_is_aborted(world: World, behaviour: Behaviour, words: str) -> None:
    world.behaviours["v2"] = behaviour
    run = Operator(world).start("v2")
    assert run.phase is Phase.ABORTED
    assert words in run.reason
    assert world.weights() == {"blue": 100, "green": 0}
    assert world.fleet_state["green"] == {}
    assert len(world.fleet_state["blue"]) == 2
    assert any(words in line for line in history(world, run))
    assert any(words in json.dumps(message, ensure_ascii=False) for message in sent(world))


def test_the_old_weights_come_back_before_anything_else(world: World) -> None:
    world.behaviours["v2"] = Behaviour(errors=0.2)
    calls: list[str] = []
    names = {"ModifyListener", "PutParameter", "SetDesiredCapacity"}
    for service in ("elbv2", "ssm"):
        world.client(service).meta.events.register(
            "before-call.*.*", lambda model, **_: calls.append(model.name) if model.name in names else None
        )
    run = Operator(world).start("v2")
    lines = history(world, run)
    breach = next(i for i, line in enumerate(lines) if "5xx" in line)
    assert lines[breach + 1] == "restore-weights …"
    assert calls[-1] == "ModifyListener"
    assert lines[-1] == "announced: aborted"


def test_nothing_starts_when_the_image_does_not_exist(world: World) -> None:
    run = Operator(world).start("missing")
    assert (run.phase, world.log) == (Phase.REFUSED, [])
    assert "does not exist" in run.reason


def test_nothing_starts_without_a_healthy_way_back_unless_forced(world: World) -> None:
    world.behaviours["v1"] = Behaviour(becomes_healthy=False)
    refused = Operator(world).start("v2")
    assert (refused.phase, world.log) == (Phase.REFUSED, [])
    forced = Operator(world).start("v2", force="v1 is broken, this is the fix")
    assert forced.phase is Phase.SUCCEEDED, forced.reason
    assert forced.force == "v1 is broken, this is the fix"


def test_aborting_a_forced_release_revives_the_old_colour_before_it_gets_traffic(world: World) -> None:
    operator = Operator(world)
    world.clock.on_sleep = lambda: _break_old_then_abort(world, operator)
    run = operator.start("v2")
    assert run.phase is Phase.ABORTED, run.reason
    assert world.weights() == {"blue": 100, "green": 0}
    assert "scale-up blue" in world.log


def _break_old_then_abort(world: World, operator: Operator) -> None:
    if world.weights()["green"] == 50 and world.fleet_state["blue"]:
        world.fleet_state["blue"].clear()
        current = operator.journal.current()
        assert current is not None
        operator.journal.post(current.run_id, Ask("1", EventKind.ABORT, "odd", "bob"))


def test_weights_changed_by_hand_stop_the_release_and_say_so(world: World) -> None:
    operator = Operator(world)

    def meddle() -> None:
        if world.weights() == {"blue": 50, "green": 50}:
            world.clock.on_sleep = lambda: None
            operator.router.write({"blue": 70, "green": 30}, pin=False, stickiness_seconds=30)

    world.clock.on_sleep = meddle
    run = operator.start("v2")
    assert run.phase is Phase.PAUSED
    assert "somebody changed them by hand" in run.reason
    assert "blue 70 green 30" in run.reason
    assert world.weights() == {"blue": 70, "green": 30}
    assert any("PAUSED".lower() in json.dumps(message) for message in sent(world))
    second = Operator(world, name="bob")
    second.journal.post(run.run_id, Ask("1", EventKind.RESUME, "", "bob"))
    assert second.resume().phase is Phase.SUCCEEDED
    assert world.weights() == {"blue": 0, "green": 100}


def test_traffic_given_back_by_hand_to_a_colour_that_is_going_away_does_not_take_the_other_one_down(
    world: World,
) -> None:
    operator = Operator(world)

    def meddle() -> None:
        current = operator.journal.current()
        if current is not None and current.phase is Phase.RETIRE and world.fleet_state["green"]:
            world.clock.on_sleep = lambda: None
            operator.router.write({"blue": 100, "green": 0}, pin=False, stickiness_seconds=30)

    def scale_down(colour: Colour) -> None:
        world.fleet_state[colour].clear()
        if colour == "blue":
            meddle()

    operator.fleet.scale_down = scale_down  # type: ignore[method-assign]
    run = operator.start("v2")
    assert run.phase is Phase.PAUSED, run
    second = Operator(world, name="bob")
    second.journal.post(run.run_id, Ask("1", EventKind.ABORT, "odd", "bob"))
    assert second.resume().phase is Phase.ABORTED
    world.check_traffic()


def ask_at(world: World, phase: Phase, kind: EventKind) -> None:
    """Another operator asks for something as soon as the release is in a phase."""
    reader = Operator(world, name="bob")

    def look() -> None:
        current = reader.journal.current()
        if current is not None and current.phase is phase:
            world.clock.on_sleep = lambda: None
            reader.journal.post(current.run_id, Ask("1", kind, "please", "bob"))

    world.clock.on_sleep = look


def test_an_operator_can_abort_from_another_process(world: World) -> None:
    ask_at(world, Phase.BAKE, EventKind.ABORT)
    run = Operator(world).start("v2")
    assert (run.phase, run.reason) == (Phase.ABORTED, "please (bob)")
    assert world.weights() == {"blue": 100, "green": 0}


def test_rollback_within_the_window_is_one_call_away(world: World) -> None:
    ask_at(world, Phase.LINGER, EventKind.ABORT)
    run = Operator(world).start("v2")
    assert run.phase is Phase.ABORTED
    assert "scale-down blue" not in world.log
    assert world.weights() == {"blue": 100, "green": 0}


def test_promote_skips_the_steps_that_are_left(world: World) -> None:
    ask_at(world, Phase.BAKE, EventKind.PROMOTE)
    run = Operator(world).start("v2")
    lines = history(world, run)
    assert run.phase is Phase.SUCCEEDED
    assert sum(line == "set-weights …" for line in lines) == 2


def test_a_pause_that_nobody_lifts_ends_in_an_abort(world: World) -> None:
    ask_at(world, Phase.BAKE, EventKind.PAUSE)
    run = Operator(world).start("v2")
    assert (run.phase, run.reason) == (Phase.ABORTED, "nobody resumed the paused release (after 60 s)")


def test_no_metrics_pause_the_release_and_their_return_lets_it_go_on(world: World) -> None:
    world.behaviours["v2"] = Behaviour(data=False)
    reader = Operator(world, name="reader")

    def look() -> None:
        current = reader.journal.current()
        if current is not None and current.phase is Phase.WAIT_DATA:
            world.behaviours["v2"] = Behaviour()

    world.clock.on_sleep = look
    run = Operator(world).start("v2")
    assert (run.phase, run.reason) == (Phase.SUCCEEDED, "")
    assert any("no-data" in line for line in history(world, run))


def test_the_old_colour_stays_while_it_has_open_requests(world: World) -> None:
    world.open_requests["blue"] = 3
    profile = replace(PROFILE, old_life_limit=40.0)
    began = world.clock.now()
    run = Operator(world, profile).start("v2")
    assert run.phase is Phase.SUCCEEDED
    assert run.ended_at - began >= 30 + 5  # stickiness + drain of the listener and the group
    world.open_requests["green"] = 0
    began = world.clock.now()
    assert Operator(world, profile).start("v3").ended_at - began < 30


def test_the_old_colour_is_not_stopped_while_the_new_one_is_ill(world: World) -> None:
    reader = Operator(world, name="reader")

    def look() -> None:
        current = reader.journal.current()
        if current is not None and current.phase is Phase.LINGER:
            world.behaviours["v2"] = Behaviour(becomes_healthy=False)

    world.clock.on_sleep = look
    run = Operator(world).start("v2")
    assert run.phase is Phase.ABORTED
    assert len(world.fleet_state["blue"]) == 2


def test_a_controller_that_lost_its_lease_touches_nothing_more(world: World) -> None:
    alice, bob = Operator(world, name="alice"), Operator(world, name="bob")
    taken: list[str] = []

    def steal() -> None:
        current = alice.journal.current()
        if current is not None and current.phase is Phase.BAKE and not taken:
            world.clock.time += PROFILE.lease + 5  # alice's process was stopped that long
            bob.lease.take("take over")
            bob.journal.adopt(current.run_id, bob.lease)
            taken.append(json.dumps(world.weights()))

    world.clock.on_sleep = steal
    with pytest.raises(LeaseLost):
        alice.start("v2")
    assert json.dumps(world.weights()) == taken[0]
    holder = bob.lease.holder()
    assert holder is not None
    assert holder.owner == "bob"


class Annotations:
    """Grafana as the announcer sees it."""

    def __init__(self) -> None:
        self.phases: list[str] = []

    def add(self, run: Run, now: float) -> None:
        self.phases.append(str(run.phase))


def test_every_transition_is_a_metric_a_notification_and_an_annotation(world: World) -> None:
    world.grafana = Annotations()
    run = Operator(world).start("v2")
    page = (world.metrics_folder / "superagent_release.prom").read_text()
    assert 'superagent_release_in_progress{environment="local"} 0.0' in page
    assert 'superagent_release_weight{colour="green",environment="local"} 100.0' in page
    assert (
        'superagent_release_transitions_total{environment="local",outcome="success",step="bake"} 3.0' in page
    )
    (last,) = re.findall(
        r"^superagent_release_last_success_timestamp_seconds\{.*\} (.*)$", page, re.MULTILINE
    )
    assert float(last) == run.ended_at
    phases = [message["metadata"]["additionalContext"]["phase"] for message in sent(world)]
    assert phases[0] == "preflight"
    assert phases[-1] == "succeeded"
    assert phases.count("shift") == 3
    assert world.grafana.phases == phases
    counted = re.findall(r'transitions_total\{.*step="(.+?)"\} (.*)$', page, re.MULTILINE)
    assert {step: float(count) for step, count in counted} == Counter(phases)


def test_the_first_release_of_all_needs_a_reason_and_gets_through(world: World) -> None:
    world.fleet_state["blue"].clear()  # as Pulumi leaves a new environment: all weight on an empty colour
    refused = Operator(world).start("v2")
    assert (refused.phase, refused.reason) == (
        Phase.REFUSED,
        "blue has no healthy target; a release needs a way back (release over it with --force REASON)",
    )
    assert Operator(world).start("v2", force="first release").phase is Phase.SUCCEEDED


def test_a_first_release_that_fails_its_smoke_test_leaves_the_weights_alone(world: World) -> None:
    world.fleet_state["blue"].clear()
    world.check_traffic = lambda: None  # type: ignore[method-assign] # there is nothing that could take any
    world.behaviours["v2"] = Behaviour(smoke="status 500")
    run = Operator(world).start("v2", force="first release")
    assert (run.phase, run.reason) == (Phase.ABORTED, "smoke test: status 500")
    assert world.fleet_state["blue"] == {}
