"""Every command of docs/operations/release.md does what the page says, or is marked as needing AWS."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.home import CHECKOUT
from infra.release import commands, package
from tests.infra.release.test_commands import open_tool
from tests.infra.release.world import Operator, World, new_world

PAGE = (CHECKOUT / "docs/operations/release.md").read_text()
ELSEWHERE = {
    "python -m tests.benchmarks.bench_release": "tests/benchmarks/bench_release.py",
    "make soak": "Makefile",
    "superagent up": "tests/e2e/test_whole_system.py",
}
"""Commands that are runs of their own, and the file that has them."""


def mentioned() -> list[str]:
    """Whole commands: lines of sessions, code in the text, and the table of verbs."""
    session = re.findall(r"^\$ (superagent [^#\n]+)", PAGE, re.MULTILINE)
    inline = re.findall(r"`(superagent [^`]+|python -m [^`]+|make [^`]+|kubectl [^`]+|aws [^`]+)`", PAGE)
    table = PAGE.partition("## The verbs")[2].partition("\n\n##")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    verbs = [f"superagent release {words}" for cell in cells for words in re.findall(r"`([^`]+)`", cell)]
    return sorted({command.strip() for command in (*session, *inline, *verbs)})


def needs_aws(command: str) -> bool:
    """Whether the page says so: "in AWS" right before it, or a row that begins with EKS."""
    short = command.removeprefix("superagent release ")
    rows = [line for line in PAGE.splitlines() if f"`{command}`" in line]
    return f"in AWS `{short}`" in PAGE or (bool(rows) and all(row.startswith("| EKS") for row in rows))


LOCAL = [one for one in mentioned() if not needs_aws(one) and one not in ELSEWHERE]


@pytest.fixture
def world(tmp_path: Path) -> object:
    with new_world(tmp_path / "metrics") as made:
        yield made


def released(world: World) -> None:
    Operator(world).start("v2")
    world.clock.time += 60


def abandoned(world: World) -> None:
    """A release whose controller died."""
    alice = Operator(world, name="alice")
    alice.lease.take("release v2")
    alice.journal.create(alice.new_run("v2"), alice.lease)
    world.clock.time += 60


def shifting(world: World) -> None:
    abandoned(world)
    operator = Operator(world, name="bob")
    with pytest.raises(KeyboardInterrupt):
        world.clock.on_sleep = lambda: _stop_when_shifted(world)
        operator.resume()
    world.clock.on_sleep = lambda: None
    world.clock.time += 60


def _stop_when_shifted(world: World) -> None:
    if world.weights()["green"]:
        raise KeyboardInterrupt


def held(world: World) -> None:
    Operator(world, name="alice").lease.take("release v2")


BEFORE: dict[str, Callable[[World], None]] = {
    "plan": lambda world: None,
    "start": lambda world: None,
    "status": released,
    "history": released,
    "rollback": released,
    "pause": abandoned,
    "resume": abandoned,
    "abort": abandoned,
    "promote": shifting,
    "unlock": held,
}


def test_the_page_shows_every_verb() -> None:
    assert {one.split()[2] for one in LOCAL if one.startswith("superagent release ")} == set(BEFORE)


@pytest.mark.parametrize("command", LOCAL)
def test_a_command_of_the_page_works(
    world: World, monkeypatch: pytest.MonkeyPatch, command: str, tmp_path: Path
) -> None:
    words = shlex.split(command)
    if words[1] == "package":
        assert CliRunner().invoke(package.package, [*words[2:], "--dry-run", "--allow-dirty"]).exit_code == 0
        return
    assert words[:2] == ["superagent", "release"], command
    monkeypatch.setattr(commands, "open_tool", open_tool(world))
    BEFORE[words[2]](world)
    run = Operator(world).journal.current()
    is_run = re.compile(r"RUN|\[RUN\]|\d{13}-[0-9a-f]{6}").fullmatch
    words = [run.run_id if is_run(word) and run else word for word in words[2:]]
    words = [word for word in words if word != "…"]
    done = CliRunner().invoke(commands.release, words)
    assert done.exit_code == 0, f"{command}: {done.output}"


@pytest.mark.parametrize("command", ELSEWHERE)
def test_a_longer_run_of_the_page_exists(command: str) -> None:
    assert command in PAGE
    assert (CHECKOUT / ELSEWHERE[command]).exists()


def test_the_plan_of_the_page_is_the_plan(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Phases and effects in the page's session, line by line."""
    shown = re.findall(r"^ +\d+\. (\w+) ", PAGE, re.MULTILINE)
    monkeypatch.setattr(commands, "open_tool", open_tool(world))
    printed = CliRunner().invoke(commands.release, ["plan", "--version", "v2"]).stdout
    assert re.findall(r"^ +\d+\. (\w+) ", printed, re.MULTILINE) == shown
