"""What every verb has in common."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from infra import cli, console


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


@pytest.mark.parametrize("text", ["[/x] is away", "[red]y[/red] and \\[z", "x" * 300])
def test_a_warning_is_told_word_for_word(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """A closing tag in an answer of AWS would else end the release that is warning about it."""
    console.warn(text)
    assert capsys.readouterr().err == f"! {text}\n"
