"""What the release verbs print: progress on stderr, the answer on stdout, JSON where it was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from infra import console
from infra.errors import OperationFailed, UserError
from infra.release import explain
from infra.release.journal import Journal
from infra.release.state import Phase, Run
from infra.release.typed import typed
from infra.release.wiring import Tool


def progress() -> Callable[[Run], None]:
    """A watcher that prints one line for each transition."""
    seen = ""
    began = time.monotonic()

    def watch(run: Run) -> None:
        nonlocal seen
        if run.mark == seen:
            return
        seen = run.mark
        share = f"{run.old} {100 - run.weight} % {run.new} {run.weight} %"
        why = f" · {run.reason}" if run.reason else ""
        took = f"[dim]{time.monotonic() - began:6.1f} s[/dim]"
        console.err.print(f"{took}  {run.phase:10} {share}{why}", soft_wrap=True)

    return watch


def finish(run: Run, as_json: bool, wanted: Phase = Phase.SUCCEEDED) -> None:
    """Tell how it ended. Raises `OperationFailed` when it came to rest elsewhere than `wanted`."""
    if as_json:
        console.print_json(run.to_dict())
    at_rest = run.ended or run.phase is Phase.PAUSED
    if at_rest and run.phase is not wanted:
        why = f": {run.reason}" if run.reason else "."
        raise OperationFailed(f"{run.kind.capitalize()} of {run.version} {run.phase}{why}")
    if as_json:
        return
    resume = typed("resume", run.environment)
    texts = {
        Phase.SUCCEEDED: f"{run.version} has all traffic on {run.new}.",
        Phase.ABORTED: f"{run.old_image or 'The old version'} has all traffic on {run.old} again.",
        Phase.PAUSED: f"{run.version} is paused at {run.weight} %; `{resume}` goes on.",
    }
    console.out.print(texts.get(run.phase, f"{run.version}: {run.phase}."), soft_wrap=True)


def explained(tool: Tool, run: Run, as_json: bool) -> None:
    """The plan of a run, line by line."""
    lines = explain.walk(run, tool.profile, tool.router.drain_seconds(run.old))
    if as_json:
        steps = [{"phase": line.phase, "effect": line.effect, "text": line.text} for line in lines]
        console.print_json({"run": run.to_dict(), "steps": steps})
        return
    before = run.old_image or "nothing"
    console.out.print(f"{run.environment}: {before} on {run.old} → {run.version} on {run.new}")
    for number, line in enumerate(lines, 1):
        console.out.print(f"{number:3}. [bold]{line.phase:10}[/bold] {line.text}", soft_wrap=True)
    console.out.print("Nothing was changed.")


def runs(found: list[Run], as_json: bool) -> None:
    """One line a release, newest first."""
    if as_json:
        console.print_json([run.to_dict() for run in found])
        return
    for run in found:
        took = f"{run.ended_at - run.started_at:.0f} s" if run.ended else "under way"
        force = f" · forced: {run.force}" if run.force else ""
        why = f" · {run.reason}" if run.reason else ""
        console.out.print(
            f"{run.run_id}  {_time(run.started_at)}  {run.kind} {run.version} → {run.new}  {run.phase}  "
            f"{took}  {run.started_by}{force}{why}",
            soft_wrap=True,
        )


def entries(journal: Journal, run_id: str, as_json: bool) -> None:
    """Every line of one release, oldest first."""
    found = journal.history(run_id)
    if not found:
        raise UserError(f"There is no release {run_id!r}.", "List them: `superagent release history`.")
    if as_json:
        console.print_json([{"at": e.at, "by": e.by, "phase": e.phase, "text": e.text} for e in found])
        return
    for entry in found:
        line = f"{_time(entry.at)}  {entry.phase:10} {entry.text}  [dim]{entry.by}[/dim]"
        console.out.print(line, soft_wrap=True)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
