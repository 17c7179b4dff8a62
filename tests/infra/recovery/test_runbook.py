"""Every command of the runbook is one that the tool understands; the local ones are run in tests/e2e."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from infra.cli import main
from infra.home import CHECKOUT
from infra.recovery.manifest import FORMAT

PAGE = CHECKOUT / "docs" / "operations" / "disaster-recovery.md"


def commands(kind: str) -> list[str]:
    """Lines of the fenced blocks marked `sh <kind>`."""
    blocks = re.findall(rf"```sh {kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def test_there_are_commands_to_check() -> None:
    assert len(commands("local")) >= 15
    assert len(commands("aws")) >= 4
    unmarked = re.findall(r"```(?!sh local|sh aws|\n)\S*", PAGE.read_text())
    assert unmarked == []
    assert FORMAT == 1


@pytest.mark.parametrize("line", commands("local") + commands("aws"))
def test_the_tool_understands(line: str) -> None:
    words = shlex.split(line)
    assert words[0] == "superagent"
    command: click.Command = main
    context = click.Context(main)
    rest = words[1:]
    while isinstance(command, click.Group):
        name, rest = rest[0], rest[1:]
        found = command.get_command(context, name)
        assert found is not None, f"there is no verb {name}"
        command = found
    command.make_context(words[1], rest)
