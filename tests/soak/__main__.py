"""`python -m tests.soak`: bring a system up, disturb it for a while, say what became of it."""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import click

from infra.local.layout import Layout
from tests.e2e.commands import SuperAgent
from tests.soak import ledger
from tests.soak.chaos import ACTIONS, VICTIMS, Chaos, Deed
from tests.soak.report import Soak, render
from tests.soak.traffic import Traffic
from tests.soak.watch import Watch


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", type=click.FloatRange(0.5, 240), default=20.0, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Chooses what happens, and when.")
@click.option("--connections", type=click.IntRange(1, 200), default=16, show_default=True)
@click.option(
    "--only", multiple=True, type=click.Choice([*ACTIONS, *VICTIMS]), help="Only these deeds or victims."
)
@click.option("--keep", is_flag=True, help="Leave the state folder behind, stopped, for a look into it.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write the report here too.")
def main(
    minutes: float, seed: int, connections: int, only: tuple[str, ...], keep: bool, report: Path | None
) -> None:
    """Load a system of its own while parts are killed, versions released, backups made and rehearsed.

    Ends by itself and leaves nothing behind. Exit code 1 when a usage row is lost or doubled, when a request
    fails while nothing is being killed, or when something does not come back.
    """
    more = "".join(f" --only {name}" for name in only)
    command = f"python -m tests.soak --minutes {minutes:g} --seed {seed} --connections {connections}{more}"
    folder = Path(tempfile.mkdtemp(prefix="superagent-soak-"))
    superagent = SuperAgent(folder / "home")
    try:
        found = _soak(superagent, command, minutes * 60, seed, connections, only)
    finally:
        if keep:
            superagent.run("down")
            click.echo(f"Kept in {folder}.", err=True)
        else:
            superagent.run("down", "--purge")
            shutil.rmtree(folder, ignore_errors=True)
    text = render(found)
    if report:
        report.write_text(text)
    click.echo(text)
    sys.exit(0 if all(found.verdicts.values()) else 1)


def _soak(
    superagent: SuperAgent, command: str, seconds: float, seed: int, connections: int, only: tuple[str, ...]
) -> Soak:
    said = json.loads(superagent.must("up", "--json"))
    place, begun = Layout(superagent.home), time.monotonic()
    chaos = Chaos(superagent, random.Random(seed), only)
    deeds: list[Deed] = []
    with Watch(place) as watch, Traffic(said["api"], said["admin_key"], connections, seed) as traffic:
        for deed in chaos.deeds(begun + seconds):
            deeds.append(deed)
            minute, failures = (deed.ended - begun) / 60, len(traffic.seen.failures)
            outcome = deed.trouble or "done"
            click.echo(
                f"{minute:5.1f} min  {deed.what:<32} {deed.ended - deed.begun:5.1f} s  "
                f"{sum(traffic.seen.answered.values()):,} answered, {failures} not  {outcome}",
                err=True,
            )
    unwell = [
        f"{name}: {one['problem']}"
        for name, one in superagent.parts().items()
        if one["needed"] and not one["healthy"]
    ]
    verdict = ledger.compare(superagent.home, traffic.seen.rows)
    took = time.monotonic() - begun
    return Soak(command, took, traffic.seen, deeds, list(watch.lives.values()), verdict, unwell)


if __name__ == "__main__":
    main()
