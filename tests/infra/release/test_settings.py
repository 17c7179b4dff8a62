"""The pace of a release: the environment's profile, then the stack's configuration, then the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infra.errors import UserError
from infra.release import commands
from infra.release.settings import PROFILES, of_stack
from infra.stack.outputs import StackOutputs
from infra.stack.pace import STRATEGIES
from tests.infra.release.test_commands import open_tool
from tests.infra.release.world import World

Plan = Callable[..., Result]


def stack(world: World, **configured: Any) -> StackOutputs:
    return replace(world.outputs, **configured)


def test_a_stack_that_says_nothing_gets_the_profile_of_its_environment(world: World) -> None:
    assert of_stack(world.outputs) == PROFILES["local"]
    assert PROFILES["prod"].steps == STRATEGIES["canary"]
    assert (PROFILES["local"].bake, PROFILES["prod"].bake) == (2.0, 300.0)


def test_the_stacks_steps_and_bake_replace_the_profiles(world: World) -> None:
    chosen = of_stack(stack(world, release_steps=[1, 100], release_bake_seconds=0))
    assert (chosen.steps, chosen.bake) == ((1, 100), 0.0)
    assert chosen.settle_timeout == PROFILES["local"].settle_timeout


@pytest.mark.parametrize(("steps", "words"), [([50, 20, 100], "20 does not grow"), ([50], "ends at 50 %")])
def test_outputs_that_were_written_by_hand_are_checked(world: World, steps: list[int], words: str) -> None:
    with pytest.raises(UserError, match=f"release_steps.*{words}.*pulumi up"):
        of_stack(stack(world, release_steps=steps))


@pytest.fixture
def plan(world: World, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """`superagent release start --dry-run WORDS…` on a stack configured with steps and bake."""
    configured = of_stack(stack(world, release_steps=[30, 100], release_bake_seconds=7.0))
    pace = {"steps": configured.steps, "bake": configured.bake}
    made = open_tool(world)

    def configured_tool(name: str, smoke: Path | None = None, adjust: dict[str, Any] | None = None) -> Any:
        return made(name, smoke, {**pace, **(adjust or {})})

    monkeypatch.setattr(commands, "open_tool", configured_tool)
    words = ("start", "--dry-run", "--json", "--version", "v2")
    return lambda *more: CliRunner().invoke(commands.release, [*words, *more])


def run_of(result: Result) -> tuple[list[int], float]:
    run = json.loads(result.stdout)["run"]
    return run["steps"], run["bake_seconds"]


def test_start_without_options_takes_the_stacks_pace(plan: Plan) -> None:
    assert run_of(plan()) == ([30, 100], 7.0)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_on_the_command_wins_over_the_stack(plan: Plan, name: str) -> None:
    assert run_of(plan("--strategy", name)) == (list(STRATEGIES[name]), 7.0)


def test_steps_and_bake_on_the_command_win_over_the_stack(plan: Plan) -> None:
    assert run_of(plan("--steps", "50,100", "--bake", "1m")) == ([50, 100], 60.0)


def test_an_unknown_strategy_is_refused_with_the_known_ones(plan: Plan) -> None:
    refused = plan("--strategy", "cannary")
    assert refused.exit_code == 2
    assert all(name in refused.stderr for name in ("cannary", *STRATEGIES))
