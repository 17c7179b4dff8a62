"""The verbs as they are typed: answers on stdout, exit codes, refusals with a fix."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infra.release import commands, verbs
from infra.release.announce import Announcements
from infra.release.effects import Effects
from infra.release.settings import parse_seconds, parse_steps
from infra.release.telemetry import Ledger
from infra.release.wiring import Tool
from tests.infra.release.world import TABLE, Behaviour, Operator, World

Superagent = Callable[..., Result]


class WorldTool(Tool):
    """The real tool's parts on the small world; smoke tests and migrations are the world's."""

    operator: Operator

    def effects(self) -> Effects:
        return self.operator.effects


def open_tool(world: World, name: str = "cli") -> Callable[..., Tool]:
    def made(stack: str, smoke_file: Path | None = None, adjust: dict[str, Any] | None = None) -> Tool:
        operator = Operator(world, name=name)
        operator.profile = replace(operator.profile, **(adjust or {}))
        operator.effects.profile = operator.profile
        announcer = Announcements(
            sns=world.client("sns"),
            topic_arn=world.outputs.alert_topic_arn,
            ledger=Ledger(world.client("dynamodb"), TABLE, "local"),
            metrics_folder=world.metrics_folder,
            clock=world.clock,
            warn=world.log.append,
        )
        tool = WorldTool(
            outputs=world.outputs,
            profile=operator.profile,
            clock=world.clock,
            journal=operator.journal,
            lease=operator.lease,
            router=operator.router,
            fleet=operator.fleet,
            source=operator.source,
            smoke=operator.smoke,  # type: ignore[arg-type]
            announcer=announcer,
        )
        tool.operator = operator
        return tool

    return made


@pytest.fixture
def superagent(world: World, monkeypatch: pytest.MonkeyPatch) -> Superagent:
    """`superagent release WORDS…` against the world."""
    monkeypatch.setattr(commands, "open_tool", open_tool(world))
    return lambda *words: CliRunner().invoke(commands.release, list(words))


def test_start_ends_with_one_sentence_and_exit_code_0(superagent: Superagent, world: World) -> None:
    done = superagent("start", "--version", "v2")
    assert done.exit_code == 0, done.output
    assert done.stdout == "v2 has all traffic on green.\n"
    assert "bake" in done.stderr
    assert world.weights() == {"blue": 0, "green": 100}


def test_json_is_alone_on_stdout(superagent: Superagent) -> None:
    done = superagent("start", "--version", "v2", "--json")
    assert json.loads(done.stdout)["phase"] == "succeeded"


def test_an_aborted_release_has_exit_code_1_and_its_reason(superagent: Superagent, world: World) -> None:
    world.behaviours["v2"] = Behaviour(smoke="the right version answers: header build is 'v1'")
    done = superagent("start", "--version", "v2")
    assert done.exit_code == 1
    assert "Release of v2 aborted: smoke test: the right version answers" in done.stderr


@pytest.mark.parametrize("verb", [("plan",), ("start", "--dry-run")])
def test_a_dry_run_shows_every_step_and_changes_nothing(
    superagent: Superagent, world: World, verb: tuple[str, ...]
) -> None:
    done = superagent(*verb, "--version", "v2", "--steps", "20,100", "--bake", "1m")
    assert done.exit_code == 0, done.output
    assert "v1 on blue → v2 on green" in done.stdout
    assert "blue 80 % green 20 %" in done.stdout
    assert "watch for 60 s" in done.stdout
    assert "Nothing was changed." in done.stdout
    assert world.log == []
    assert Operator(world).journal.current() is None


def test_the_plan_as_json_has_an_effect_a_line(superagent: Superagent) -> None:
    steps = json.loads(superagent("plan", "--version", "v2", "--json").stdout)["steps"]
    assert [step["effect"] for step in steps].count("set-weights") == 3
    assert steps[0]["phase"] == "preflight"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("start",), "Which version?"),
        (("start", "--version", "v 2"), "is not a version label"),
        (("start", "--version", "v2", "--steps", "50,20,100"), "does not grow"),
        (("start", "--version", "v2", "--steps", "50"), "ends at 50 %"),
        (("start", "--version", "v2", "--steps", "x"), "not a list of per cents"),
        (("start", "--version", "v2", "--steps", "100", "--strategy", "canary"), "exclude each other"),
        (("start", "--version", "v2", "--bake", "2 weeks"), "not a time"),
        (("abort",), "no release here yet"),
        (("resume",), "no release here yet"),
        (("rollback",), "no release here yet"),
        (("history", "nonsense"), "no release 'nonsense'"),
    ],
)
def test_bad_input_is_exit_code_2_with_a_fix(
    superagent: Superagent, world: World, words: tuple[str, ...], complaint: str
) -> None:
    done = superagent(*words)
    assert done.exit_code == 2, done.output
    assert complaint in done.stderr
    assert world.log == []


def test_status_shows_weights_targets_and_what_comes_next(superagent: Superagent) -> None:
    assert "no release yet" in superagent("status").stdout
    superagent("start", "--version", "v2")
    shown = superagent("status").stdout
    assert "green 100 %" in shown
    assert "127.0.0.21 healthy" in shown
    assert "rollback" in shown
    found = json.loads(superagent("status", "--json").stdout)
    assert found["run"]["phase"] == "succeeded"
    assert {one["colour"]: one["weight"] for one in found["colours"]} == {"blue": 0, "green": 100}


def test_a_second_operator_is_told_who_releases(superagent: Superagent, world: World) -> None:
    alice = Operator(world, name="alice")
    alice.lease.take("release v2")
    alice.journal.create(alice.new_run("v2"), alice.lease)
    done = superagent("start", "--version", "v3")
    assert done.exit_code == 2
    assert "alice holds the release lease" in done.stderr


def test_an_unfinished_release_is_resumed_or_aborted_before_the_next(
    superagent: Superagent, world: World
) -> None:
    alice = Operator(world, name="alice")
    alice.lease.take("release v2")
    alice.journal.create(alice.new_run("v2"), alice.lease)
    world.clock.time += 60  # alice's process is gone
    refused = superagent("start", "--version", "v3")
    assert (refused.exit_code, "has not ended" in refused.stderr) == (2, True)
    assert superagent("resume").exit_code == 0
    assert world.weights() == {"blue": 0, "green": 100}


def test_abort_without_a_controller_does_it_itself(superagent: Superagent, world: World) -> None:
    alice = Operator(world, name="alice")
    alice.lease.take("release v2")
    alice.journal.create(alice.new_run("v2"), alice.lease)
    world.clock.time += 60
    done = superagent("abort", "--reason", "changed my mind")
    assert done.exit_code == 0, done.output
    assert "v1 has all traffic on blue again" in done.stdout
    assert "changed my mind" in superagent("history").stdout


def test_a_paused_release_stays_paused_when_its_controller_is_gone(
    superagent: Superagent, world: World
) -> None:
    alice = Operator(world, name="alice")
    alice.lease.take("release v2")
    alice.journal.create(alice.new_run("v2"), alice.lease)
    world.clock.time += 60
    assert superagent("pause", "--reason", "lunch").exit_code == 0
    assert "lunch" in superagent("status").stdout
    assert superagent("resume").exit_code == 0
    assert world.weights() == {"blue": 0, "green": 100}


def test_rollback_after_the_window_releases_the_version_before(superagent: Superagent, world: World) -> None:
    superagent("start", "--version", "v2")
    world.clock.time += 60
    done = superagent("rollback", "--reason", "customers complain")
    assert done.exit_code == 0, done.output
    assert world.weights() == {"blue": 100, "green": 0}
    assert {machine.version for machine in world.fleet_state["blue"].values()} == {"v1"}
    assert world.log.count("migrate v1") == 0
    listed = json.loads(superagent("history", "--json").stdout)
    assert [(run["kind"], run["version"]) for run in listed] == [("rollback", "v1"), ("release", "v2")]


def test_history_of_one_release_tells_each_step(superagent: Superagent, world: World) -> None:
    superagent("start", "--version", "v2")
    run = Operator(world).journal.current()
    assert run is not None
    shown = superagent("history", run.run_id).stdout
    assert "set-weights done → bake" in shown
    assert "announced: succeeded" in shown


def test_unlock_refuses_a_living_owner_unless_forced(superagent: Superagent, world: World) -> None:
    alice = Operator(world, name="alice")
    alice.lease.take("release v2")
    refused = superagent("unlock")
    assert refused.exit_code == 2
    assert "alice holds the lease" in refused.stderr
    assert superagent("unlock", "--force", "her laptop drowned").exit_code == 0
    assert Operator(world).lease.holder() is None


def test_no_wait_hands_the_release_to_another_process(
    superagent: Superagent, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "detach", lambda stack, smoke=None: 4711)
    done = superagent("start", "--version", "v2", "--no-wait", "--json")
    assert json.loads(done.stdout)["pid"] == 4711
    assert Operator(world).lease.holder() is None
    assert superagent("resume").exit_code == 0


def test_an_image_and_another_version_do_not_go_together(superagent: Superagent) -> None:
    done = superagent("start", "--version", "v3", "--image", "registry/x:v2")
    assert (done.exit_code, "is not the tag" in done.stderr) == (2, True)


@pytest.mark.parametrize(("text", "seconds"), [("5", 5), ("5s", 5), ("1.5m", 90), ("1h", 3600), ("0", 0)])
def test_times_are_read_with_units(text: str, seconds: float) -> None:
    assert parse_seconds(text, "--bake") == seconds


def test_steps_may_carry_signs() -> None:
    assert parse_steps("5%, 50, 100") == (5, 50, 100)
