"""`python -m alerts`: render the files, or run the rules' tests."""

from __future__ import annotations

import shutil
import sys

import click

from alerts.files import ROOT, generated
from alerts.promtool import run_tests


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Alert rules and Alertmanager routing: render what Prometheus reads, and test it."""


@main.command()
@click.option("--check", is_flag=True, help="Write nothing; fail when a committed file is stale.")
def render(check: bool) -> None:
    """Write rules/*.yml and alertmanager/*.yml from the definitions."""
    stale = [path for path, text in generated().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(generated()[path])
        click.echo(f"{'stale' if check else 'wrote'} {path.relative_to(ROOT.parent)}")
    if check and stale:
        raise click.ClickException("Run `python -m alerts render`.")


@main.command()
@click.option("--promtool", default="promtool", show_default=True, help="Path of promtool.")
def test(promtool: str) -> None:
    """Run alerts/tests/*.yml with promtool."""
    found = shutil.which(promtool)
    if found is None:
        raise click.UsageError(
            f"{promtool!r} is not here. Install Prometheus, or name its path by --promtool."
        )
    sys.exit(run_tests(found).returncode)


if __name__ == "__main__":
    main()
