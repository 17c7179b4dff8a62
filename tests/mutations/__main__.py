"""`python -m tests.mutations`: break the behaviours of the table one by one and see that tests notice."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import click

from infra.home import CHECKOUT
from tests.mutations.areas import AREAS
from tests.mutations.judge import GOOD, Outcome, judge
from tests.mutations.row import Mutation


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", multiple=True, type=click.Choice(sorted(AREAS)), help="Only these areas.")
@click.option("--match", default="", help="Only rows whose behaviour contains these words.")
@click.option("--list", "listing", is_flag=True, help="Show the rows and run nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def main(only: tuple[str, ...], match: str, listing: bool, as_json: bool) -> None:
    """Break each behaviour in a copy of this checkout and run the tests that must fail.

    Exit code 1 when a mutation survives, when its text is not found exactly once, and when its tests fail
    without it.
    """
    rows = [
        (area, row)
        for area, some in AREAS.items()
        for row in some
        if (not only or area in only) and match in row.behaviour
    ]
    if not rows:
        raise click.UsageError(f"no row has the words {match!r}; --list shows them all")
    if listing:
        _list(rows, as_json)
        return
    began = time.monotonic()
    areas = [area for area, _ in rows]
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="superagent-mutations-") as folder:
        for outcome in judge(CHECKOUT, [row for _, row in rows], Path(folder)):
            outcomes.append(outcome)
            if not as_json:
                why = f" ({outcome.why}; {outcome.row.file})" if outcome.why else ""
                area = areas[len(outcomes) - 1]
                click.echo(f"{outcome.verdict:9} {area:11} {outcome.row.behaviour}{why}")
    table = _table(areas, outcomes)
    if as_json:
        details = [
            {"area": area, "behaviour": one.row.behaviour, "file": one.row.file, "verdict": one.verdict}
            for area, one in zip(areas, outcomes, strict=True)
        ]
        click.echo(json.dumps({"areas": table, "rows": details}, indent=1))
    else:
        click.echo(f"\n| Area | Rows | Killed |\n|---|---|---|\n{_lines(table)}")
        click.echo(f"\n{time.monotonic() - began:.0f} s")
    sys.exit(0 if all(one.verdict == GOOD for one in outcomes) else 1)


def _list(rows: list[tuple[str, Mutation]], as_json: bool) -> None:
    if as_json:
        shown = [
            {"area": area, "behaviour": row.behaviour, "file": row.file, "tests": row.tests}
            for area, row in rows
        ]
        click.echo(json.dumps(shown, indent=1))
        return
    for area, row in rows:
        click.echo(f"{area:11} {row.behaviour} ({row.file})")


def _table(areas: list[str], outcomes: list[Outcome]) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for area, outcome in zip(areas, outcomes, strict=True):
        counts = table.setdefault(area, {"rows": 0, "killed": 0})
        counts["rows"] += 1
        counts["killed"] += outcome.verdict == GOOD
    return table


def _lines(table: dict[str, dict[str, int]]) -> str:
    total = {name: sum(counts[name] for counts in table.values()) for name in ("rows", "killed")}
    shown = [*table.items(), ("all", total)]
    return "\n".join(f"| {area} | {counts['rows']} | {counts['killed']} |" for area, counts in shown)


if __name__ == "__main__":
    main()
