"""docs/operations/environments.md: what it tells people to type is what the tools take."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from infra.cli import main
from infra.home import CHECKOUT

GUIDE = (CHECKOUT / "docs/operations/environments.md").read_text()


def commands(program: str) -> list[str]:
    """The indented command lines that start with `program`, without comments and pipes."""
    lines = GUIDE.replace("\\\n", " ").splitlines()
    typed = [line.split(" #")[0].strip() for line in lines if line.startswith("    ")]
    parts = [part.strip() for line in typed for part in line.split(" | ")]
    return [part for part in parts if part.startswith(f"{program} ")]


@pytest.mark.parametrize("line", commands("superagent"))
def test_every_superagent_command_of_the_guide_parses(line: str) -> None:
    command: click.Command = main
    words = shlex.split(line)[1:]
    context = click.Context(main, info_name="superagent")
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, f"{words[0]} is no command"
        command, words = found, words[1:]
    command.make_context(line, words, parent=context)


def test_the_guide_has_commands_to_check() -> None:
    assert len(commands("superagent")) >= 7
    assert len(commands("aws")) >= 6
    assert len(commands("pulumi")) >= 3


def test_the_name_of_the_state_bucket_is_one_that_s3_takes() -> None:
    names = set(re.findall(r"--bucket (\S+)|s3://(\S+)", GUIDE))
    for pair in names:
        name = next(one for one in pair if one)
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name), name
