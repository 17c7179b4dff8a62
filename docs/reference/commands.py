"""Every verb of `superagent` with its help, as a person sees it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from docs.reference.markdown import page
from infra.cli import main

WIDTH = 100


def render() -> str:
    """The page."""
    sections = [
        f"## {path}\n\n```text\n{text.rstrip()}\n```\n" for path, text in _helps(main, "superagent", None)
    ]
    about = "Each verb's `--help`. Exit codes: [architecture](../architecture.md)."
    return page("Commands", about, *sections)


def _helps(command: click.Command, path: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    settings = {"terminal_width": WIDTH, "max_content_width": WIDTH, **command.context_settings}
    context = click.Context(command, info_name=path.rpartition(" ")[2], parent=parent, **settings)
    yield path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _helps(found, f"{path} {name}", context)
