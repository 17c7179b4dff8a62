"""`up`, `down`, `status`, `logs` as a person types them."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from infra.console import err, out, print_json
from infra.errors import UserError
from infra.local.layout import layout

if TYPE_CHECKING:
    from infra.local.intent import DownIntent, UpIntent
    from infra.local.status import PartStatus

PORT = click.IntRange(1, 65535)


@click.command()
@click.option("--version", default="v1", show_default=True, help="Version label of a first start.")
@click.option("--port", type=PORT, help="Port of the API; else 8080 or the next free one, remembered.")
@click.option("--test-port", type=PORT, help="Port of the test listener; else 8081 or the next free one.")
@click.option("--dry-run", is_flag=True, help="Say what would be started, and start nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print what runs as JSON.")
def up(version: str, port: int | None, test_port: int | None, dry_run: bool, as_json: bool) -> None:
    """Start the whole system on this machine; harmless when it runs.

    Data, ports and versions of earlier runs are found again. A new version goes out with
    `superagent release start --version v2`, not with `up`.

    \b
    superagent up                  Postgres, Valkey, AWS API, load balancer, service, Prometheus
    superagent up --port 9000      the API on a port of your choice
    superagent up --dry-run        which binaries, versions and ports; nothing is started
    SUPERAGENT_HOME=/tmp/two superagent up    a second system beside the first
    """
    from infra.local import intent, packages, summary
    from infra.local.lifecycle import Options, bring_up

    if dry_run:
        _intent(intent.of_up(layout(), version), as_json)
        return
    asked = {name: number for name, number in (("api", port), ("test", test_port)) if number}
    try:
        packages.fetch_once()
        result = bring_up(layout(), Options(version, asked))
    except KeyboardInterrupt:
        err.print("Interrupted; everything that was started is stopped again.")
        sys.exit(130)
    if as_json:
        print_json(summary.as_json(result))
    else:
        summary.show(result, version)


@click.command()
@click.option("--purge", is_flag=True, help="Remove data, logs and configuration too.")
@click.option("--dry-run", is_flag=True, help="Say what would be stopped and removed, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: as JSON.")
def down(purge: bool, dry_run: bool, as_json: bool) -> None:
    """Stop the system; open requests finish first. The data stays unless --purge.

    \b
    superagent down            `superagent up` finds everything again
    superagent down --purge    leaves no file and no process of this checkout
    superagent down --purge --dry-run    what that would stop and how much it would remove
    """
    from infra.local import intent
    from infra.local.lifecycle import take_down
    from infra.local.parts import cache_folder
    from infra.local.progress import Progress

    if dry_run:
        _intent(intent.of_down(layout(), purge), as_json)
        return
    if as_json:
        raise UserError("--json says what --dry-run found.", "Add --dry-run, or leave --json out.")
    progress = Progress()
    try:
        with progress.shown(), progress.step("Stopped and removed" if purge else "Stopped"):
            did = take_down(layout(), purge)
    except KeyboardInterrupt:
        err.print("Interrupted; some parts may still run. `superagent down` again stops the rest.")
        sys.exit(130)
    if not did:
        err.print("Nothing was running.")
    elif purge and cache_folder().exists():
        err.print(f"Downloaded packages stay in {cache_folder()}, shared by your checkouts.", soft_wrap=True)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, one object a part.")
def status(as_json: bool) -> None:
    """Show every part: pid, port, version, health; exit code 1 when a needed one is not healthy.

    \b
    superagent status
    superagent status --json | jq '.[] | select(.healthy == false)'
    """
    from infra.local.status import status as ask

    found = ask(layout())
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        out.print(_table(found), soft_wrap=True)
    if not all(one.healthy for one in found if one.needed):
        sys.exit(1)


@click.command()
@click.argument("part", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on as lines are written; Ctrl-C ends it.")
@click.option(
    "-n", "--lines", type=click.IntRange(0), default=20, show_default=True, help="Lines to begin with."
)
def logs(part: str | None, follow: bool, lines: int) -> None:
    """Show the end of one part's log, or of all of them.

    \b
    superagent logs                   the last lines of every part
    superagent logs blue-1 -f         follow a service process
    superagent logs postgres -n 200
    """
    from infra.local import logs as reader

    place = layout()
    known = sorted(path.stem for path in place.logs.glob("*.log"))
    if not known:
        raise UserError(f"There are no logs in {place.logs}.", "Start the system with `superagent up`.")
    if part and part not in known:
        raise UserError(f"No part {part!r} has a log.", f"Choose one of {', '.join(known)}.")
    try:
        for line in reader.read([part] if part else known, place, lines, follow):
            click.echo(line)
    except KeyboardInterrupt:
        sys.exit(130)


def _intent(found: UpIntent | DownIntent, as_json: bool) -> None:
    if as_json:
        print_json(asdict(found))
    else:
        out.print("\n".join(found.lines()), soft_wrap=True, markup=False)


def _table(found: list[PartStatus]) -> str:
    """Aligned columns, one line a part however narrow the terminal is."""
    rows = [("PART", "STATE", "PID", "PORT", "VERSION", "HEALTH")]
    rows += [
        (one.part, one.state, _text(one.pid), _text(one.port), one.version, one.problem or "healthy")
        for one in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        colour = "green" if row[-1] == "healthy" else "bold" if row is rows[0] else "red"
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        lines.append(escape("  ".join(cells)) + f"  [{colour}]{escape(row[-1])}[/{colour}]")
    return "\n".join(lines)


def _text(number: int | None) -> str:
    return "" if number is None else str(number)
