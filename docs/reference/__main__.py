"""`python -m docs.reference [--check]`: write the pages that are made from the code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from docs.reference import alerts, commands, endpoints, metrics, settings
from infra.home import CHECKOUT
from infra.stack import service_settings

FOLDER: Final = Path(__file__).parent
PAGES: Final[dict[str, Callable[[], str]]] = {
    "commands.md": commands.render,
    "settings.md": settings.service,
    "configuration.md": settings.stack,
    "endpoints.md": endpoints.render,
    "metrics.md": metrics.render,
    "alerts.md": alerts.render,
}
WANTED: Final = {
    **{FOLDER / name: render for name, render in PAGES.items()},
    service_settings.KNOWN: settings.known,
}


def stale() -> dict[Path, str]:
    """Pages that differ from the code, with the text they should have."""
    wanted = {path: render() for path, render in WANTED.items()}
    return {path: text for path, text in wanted.items() if not path.exists() or path.read_text() != text}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--check", is_flag=True, help="Write nothing; fail when a page is stale.")
def main(check: bool) -> None:
    """Write docs/reference/*.md from the code: commands, settings, endpoints, metrics, alerts."""
    found = stale()
    for path, text in found.items():
        if not check:
            path.write_text(text)
        click.echo(f"{'stale' if check else 'wrote'} {path.relative_to(CHECKOUT)}")
    if check and found:
        raise click.ClickException("Run `python -m docs.reference`.")


if __name__ == "__main__":
    main()
