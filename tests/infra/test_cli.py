"""What every verb has in common."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from infra import cli


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def slow() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda self, ctx, name: slow)
    assert CliRunner().invoke(cli.main, ["backup"]).exit_code == 130


@pytest.mark.parametrize("verb", sorted(cli.VERBS))
def test_every_verb_explains_itself(verb: str) -> None:
    done = CliRunner().invoke(cli.main, [verb, "--help"])
    assert done.exit_code == 0
    assert len(done.output.splitlines()) > 5
