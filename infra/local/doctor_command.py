"""`superagent doctor` as a person types it."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click
from rich.markup import escape

from infra.console import out, print_json
from infra.local.layout import layout

SIGNS = {"good": "[green]✓[/green]", "lacks": "[yellow]–[/yellow]", "stops": "[red]✗[/red]"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, one object a finding.")
def doctor(as_json: bool) -> None:
    """Say what this machine has and lacks; exit code 1 when `superagent up` cannot work here.

    Nothing is started, changed or sent anywhere.

    \b
    superagent doctor
    superagent doctor --json | jq '.[] | select(.verdict != "good")'
    """
    from infra.local.doctor import examine

    found = examine(layout())
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        for one in found:
            text = f"{SIGNS[one.verdict]} {one.topic:<18} {escape(one.found)}"
            out.print(f"{text}  [dim]{escape(one.fix)}[/dim]" if one.fix else text, soft_wrap=True)
    if any(one.verdict == "stops" for one in found):
        sys.exit(1)
