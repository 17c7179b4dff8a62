"""`superagent completion`: what a shell needs to complete verbs and options (click, "Shell Completion")."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

PROGRAM: Final = "superagent"
VARIABLE: Final = "_SUPERAGENT_COMPLETE"
SHELLS: Final = ("bash", "zsh", "fish")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that lets SHELL complete verbs, options and their values.

    The script asks `superagent` itself, so it stays right after an upgrade. Install it once:

    \b
    superagent completion bash > ~/.local/share/bash-completion/completions/superagent
    superagent completion zsh > "${fpath[1]}/_superagent"
    superagent completion fish > ~/.config/fish/completions/superagent.fish
    """
    click.echo(script(shell))


def script(shell: str) -> str:
    """The script of one of `SHELLS`; the same on every machine, whether the shell is on it or not."""
    found = get_completion_class(shell)
    assert found is not None, shell
    made = found(click.Command(PROGRAM), {}, PROGRAM, VARIABLE)
    # Not made.source(): for bash that runs bash, only to warn about versions before 4.4 (2016).
    return made.source_template % made.source_vars()
