"""`superagent advise`: what a person types. Exit codes: docs/operations/advice.md."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import click
from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape

from infra import console
from infra.advise import change as changes
from infra.advise import history as past
from infra.advise import render
from infra.advise.change import Change
from infra.advise.diagnose import diagnose
from infra.advise.finding import Bottleneck
from infra.advise.observed import Observed
from infra.advise.pieces import pieces
from infra.advise.recommend import Recommendation, recommend
from infra.advise.settings import window
from infra.advise.tool import Tool, open_tool
from infra.errors import OperationFailed, UserError
from infra.release.lease import LeaseHeld, LeaseLost
from infra.release.source_prometheus import StoreDown

INTERRUPTED: Final = 130
_stack = click.option("--stack", default="local", show_default=True, help="Environment to look at.")
_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON on stdout.")


class AdviseGroup(click.Group):
    """Says in one sentence what the store, the cloud, the lease or Ctrl-C did to a verb."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except StoreDown as down:
            raise OperationFailed(f"The metric store does not answer: {down}.") from None
        except LeaseLost as lost:
            raise OperationFailed(f"{lost}. See `superagent advise history`.") from None
        except LeaseHeld as held:
            raise UserError(f"{held}.", "Wait for it, then try again.") from None
        except (BotoCoreError, ClientError) as failed:
            raise OperationFailed(f"AWS: {failed}. What is begun goes on with the next --apply.") from None
        except KeyboardInterrupt:
            console.err.print("Interrupted. `superagent advise --apply` goes on with what was begun.")
            ctx.exit(INTERRUPTED)


@click.group(
    cls=AdviseGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option("--since", default="1h", show_default=True, help="How far back to look: 15m, 1h, 2d.")
@click.option("--apply", "applies", is_flag=True, help="Do what is safe, watch it, take it back if it hurt.")
@click.option("--watch", help="How long a change is watched before and after; default by environment.")
@click.option("--dry-run", is_flag=True, help="With --apply: say what would be done and change nothing.")
@_stack
@_json
@click.pass_context
def advise(ctx: click.Context, since: str, applies: bool, watch: str | None, dry_run: bool, stack: str,
           as_json: bool) -> None:  # fmt: skip
    """Read the system's own metrics, name what holds it back, and say what to change.

    \b
    superagent advise                     response times, bottlenecks with evidence, recommendations
    superagent advise --since 15m         only the last quarter of an hour
    superagent advise --apply --dry-run   what --apply would do
    superagent advise --apply             do it: scale within the profile's bounds, cache on or longer
    superagent advise history             what was done, and whether it helped

    Nothing is simulated: without data it says so and ends with 1. Each change is journalled before it is
    made, watched, and taken back when p95 or errors got worse, when it cost money for nothing, or when nobody
    can see what it did. Kill it whenever you like: the next --apply goes on.
    """
    if ctx.invoked_subcommand is not None:
        return
    seconds = window(since, "--since")
    tool = open_tool(stack, None if watch is None else window(watch, "--watch"))
    seen, found, advice = _look(tool, seconds)
    if not as_json:
        console.out.print(render.report(seen, found, advice))
    if applies and not dry_run:
        _apply(tool, seconds, (seen, found, advice), as_json)
        return
    waiting = tool.journal.unfinished()
    todo = [one.action.text() for one in advice if one.action is not None]
    if waiting is not None:
        todo.insert(0, f"go on with: {waiting.action.text()} (begun, {waiting.phase})")
    if as_json:
        console.print_json({**render.as_json(seen, found, advice), "would_apply": todo if applies else []})
    elif applies:
        for line in todo or ["nothing: no recommendation can be applied safely"]:
            console.out.print(f"would {line}", markup=False)
    elif waiting is not None:
        console.err.print(f"A change was begun and not ended: {waiting.action.text()}; --apply goes on.")


@advise.command()
@_stack
@_json
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200), help="Newest changes.")
@click.option("--since", default="24h", show_default=True, help="Stretch of the trend: 1h, 24h, 7d.")
def history(stack: str, as_json: bool, limit: int, since: str) -> None:
    """What was changed, its effect with statistics, whether it still holds, and the trend of p95."""
    seconds = window(since, "--since")
    tool = open_tool(stack)
    found = tool.journal.changes(limit)
    try:
        now = tool.clock.now()
        effects = {one.change_id: past.holds(one, tool.measure(one.action, now), tool.pace)
                   for one in past.newest_kept(found)}  # fmt: skip
        length = max(tool.pace.piece, seconds / past.POINTS)
        moved = past.p95_trend(
            pieces(tool.store, tool.environment, now, length, past.POINTS), seconds, tool.pace
        )
    except StoreDown as down:
        console.warn(f"The metric store does not answer: {down}; no trend.")
        effects, moved = {}, None
    if as_json:
        console.print_json(
            {
                "changes": [past.record(one, effects.get(one.change_id)) for one in found],
                "trend": moved.to_dict() if moved is not None else None,
            }
        )
        return
    console.out.print(render.changes(found, effects, moved))


Look = tuple[Observed, list[Bottleneck], list[Recommendation]]


def _look(tool: Tool, seconds: float) -> Look:
    seen = tool.observe(seconds)
    if seen.data_since is None:
        raise OperationFailed(
            f"There are no metrics of {tool.environment!r} in the last {seconds / 60:.0f} minutes at "
            f"{tool.store.url}: nothing to judge by. Is the service scraped?"
        )
    if not seen.requests:
        raise OperationFailed(
            f"Nobody asked anything in the last {seconds / 60:.0f} minutes: there is nothing to judge by. "
            "Look further back with --since."
        )
    found = diagnose(seen)
    return seen, found, recommend(found, seen)


def _apply(tool: Tool, seconds: float, look: Look, as_json: bool) -> None:
    with _leased(tool):
        resumed = _resume(tool)
        if resumed is not None:
            look = _look(tool, seconds)  # it may have changed what was seen before
        seen, found, advice = look
        done = [resumed]
        for one in advice:
            settled = resumed.action.target if resumed is not None else ""
            if one.action is not None and one.action.target != settled:
                done.append(_one(tool, one, found))
    ended = [change for change in done if change is not None]
    if as_json:
        told = {**render.as_json(seen, found, advice), "applied": [past.record(one) for one in ended]}
        console.print_json(told)
    elif not ended:
        console.err.print("Nothing to apply: no recommendation can be applied safely.")
    back = [one for one in ended if one.phase == "undone"]
    if back:
        raise OperationFailed("; ".join(f"{one.action.text()} was taken back: {one.note}" for one in back))


def _resume(tool: Tool) -> Change | None:
    waiting = tool.journal.unfinished()
    if waiting is None:
        return None
    console.err.print(f"Going on with what was begun: {waiting.action.text()} ({waiting.phase})")
    return _drive(tool, waiting)


def _one(tool: Tool, advice: Recommendation, found: list[Bottleneck]) -> Change | None:
    """Make one change, against the pieces of time right before it."""
    assert advice.action is not None
    evidence = next(one.evidence for one in found if (one.kind, one.subject) == (advice.kind, advice.subject))
    tool.lease.keep()
    now = tool.clock.now()
    before = tool.measure(advice.action, now)
    planned = changes.plan(advice.action, advice.because, evidence, tool.lease.owner, before, now)
    return _drive(tool, planned)


def _drive(tool: Tool, change: Change) -> Change:
    ended = tool.driver(lambda text: console.err.print(f"  {text}", markup=False)).run(change)
    verdict = (ended.effect or {}).get("reason", ended.note)
    mark = "[green]✓[/green] kept" if ended.phase == "kept" else "[yellow]↶[/yellow] taken back"
    console.err.print(f"{mark}: {ended.action.text()}; {escape(verdict)}")
    return ended


@contextmanager
def _leased(tool: Tool) -> Iterator[None]:
    """Own the environment's lease: releases wait meanwhile, and nothing is changed while one runs."""
    tool.lease.take("advise")
    try:
        run = tool.releases.current()
        if run is not None and not run.ended:
            raise UserError(
                f"The release of {run.version} is under way; sizes and traffic are its own until it ends.",
                "Wait for it, or see `superagent release status`.",
            )
        yield
    finally:
        tool.lease.give_back()
