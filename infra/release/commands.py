"""`superagent release …`: the verbs a person types."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
from botocore.exceptions import BotoCoreError, ClientError
from rich.live import Live

from infra import console
from infra.errors import OperationFailed, UserError
from infra.release import output, verbs, view
from infra.release.image import check_version
from infra.release.lease import LeaseHeld, LeaseLost
from infra.release.settings import parse_seconds, parse_steps
from infra.release.state import EventKind, Kind, Phase, Run
from infra.release.typed import typed
from infra.release.wiring import Tool, open_tool
from infra.stack.pace import STRATEGIES

Command = Callable[..., Any]
INTERRUPTED: Final = 130
STACK: Final = "superagent.release.stack"
"""Where a verb leaves its --stack for the group's last words."""

_stack = click.option("--stack", default="local", show_default=True, help="Environment to act on.")
_json = click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON on stdout.")
_no_wait = click.option("--no-wait", is_flag=True, help="Return at once; another process goes on.")
_smoke = click.option("--smoke", type=click.Path(path_type=Path), help="File of smoke scenarios.")
_reason = click.option("--reason", default="", help="Why; goes into the journal and the notification.")


class ReleaseGroup(click.Group):
    """Says in one sentence what the cloud, the lease or Ctrl-C did to a verb."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LeaseLost as lost:
            raise OperationFailed(f"{lost}. See `{_typed(ctx, 'status')}`.") from None
        except LeaseHeld as held:
            raise UserError(f"{held}.", "Wait for it, then try again.") from None
        except (BotoCoreError, ClientError) as failed:
            raise OperationFailed(
                f"AWS: {failed}. The release stays where it is; go on with `{_typed(ctx, 'resume')}`."
            ) from None
        except KeyboardInterrupt:
            console.err.print(f"Interrupted. Traffic stays as it is; go on with `{_typed(ctx, 'resume')}`.")
            ctx.exit(INTERRUPTED)


@click.group(cls=ReleaseGroup, context_settings={"help_option_names": ["-h", "--help"]})
def release() -> None:
    """Blue-green releases that lose no request and survive their own death.

    \b
    superagent release plan  --version v2            exactly what would happen
    superagent release start --version v2            do it
    superagent release status                        watch it from another terminal
    superagent release abort --reason "odd answers"  all traffic back to the old version, at once
    superagent release resume                        go on after a crash or a pause

    Everything lies in the journal: kill the controller whenever you like, `resume` goes on.
    """


def _options(function: Command) -> Command:
    for option in (
        click.option("--version", "version", default="", help="Label of the version, for example v2."),
        click.option("--image", default="", help="Image in the registry (AWS); nothing is pushed."),
        click.option("--strategy", type=click.Choice(list(STRATEGIES)), help="Named steps."),
        click.option("--steps", help="Per cents of traffic, for example 10,50,100."),
        click.option("--bake", help="How long each step is watched: 30s, 5m."),
        _smoke,
        click.option("--force", default="", metavar="REASON", help="Release over an unhealthy old colour, "
                     "missing metrics or a refused migration; the reason is recorded."),
    ):  # fmt: skip
        function = option(function)
    return function


@release.command()
@_options
@_stack
@_json
@_no_wait
@click.option("--dry-run", is_flag=True, help="Print exactly what would happen and change nothing.")
def start(stack: str, as_json: bool, no_wait: bool, dry_run: bool, **options: Any) -> None:
    """Release a version: idle colour up, smoke tests, traffic by steps, old colour down."""
    tool = _open(stack, **options)
    run = _propose(tool, "release", **options)
    if dry_run:
        output.explained(tool, run, as_json)
        return
    tool.smoke.prepare()
    tool.fleet.in_flight(run.old)  # a metric store that refuses says so before anything has moved
    run = verbs.begin(tool, run)
    if no_wait:
        tool.lease.give_back()
        pid = verbs.detach(stack, options["smoke"])
        console.err.print(f"Release {run.run_id} goes on in process {pid}; see `{typed('status', stack)}`.")
        if as_json:
            console.print_json({"run": run.to_dict(), "pid": pid})
        return
    output.finish(verbs.drive(tool, run, output.progress()), as_json)


@release.command()
@_options
@_stack
@_json
def plan(stack: str, as_json: bool, **options: Any) -> None:
    """Print exactly what `start` would do, step by step; changes nothing."""
    tool = _open(stack, **options)
    output.explained(tool, _propose(tool, "release", **options), as_json)


@release.command()
@_stack
@_json
@click.option("--once", is_flag=True, help="One look, also on a terminal.")
def status(stack: str, as_json: bool, once: bool) -> None:
    """Weights, health of every target, rates, time in this step, what comes next. Live on a terminal."""
    tool = _open(stack)
    picture = view.take(tool)
    if as_json:
        console.print_json(view.as_json(picture))
        return
    if once or not console.out.is_terminal or picture.run is None or picture.run.ended:
        console.out.print(view.render(picture))
        return
    with Live(view.render(picture), console=console.out, auto_refresh=False) as live:
        while picture.run is not None and not picture.run.ended:
            time.sleep(max(0.5, tool.profile.poll))
            picture = view.take(tool)
            live.update(view.render(picture), refresh=True)


@release.command()
@_stack
@_json
@_reason
def pause(stack: str, as_json: bool, reason: str) -> None:
    """Hold the release where it is; weights stay as they are."""
    tool = _open(stack)
    output.finish(
        verbs.ask(tool, EventKind.PAUSE, reason, output.progress(), wait=False), as_json, Phase.PAUSED
    )


@release.command()
@_stack
@_json
@_smoke
def resume(stack: str, as_json: bool, smoke: Path | None) -> None:
    """Go on: after a pause, after changed weights, or after the controller died."""
    tool = _open(stack, smoke=smoke)
    output.finish(verbs.resume(tool, output.progress()), as_json)


@release.command()
@_stack
@_json
@_no_wait
@_reason
def promote(stack: str, as_json: bool, no_wait: bool, reason: str) -> None:
    """Skip the remaining steps: all traffic to the new colour, one last watch, then on as usual."""
    _ask(stack, as_json, no_wait, EventKind.PROMOTE, reason)


@release.command()
@_stack
@_json
@_no_wait
@_reason
def abort(stack: str, as_json: bool, no_wait: bool, reason: str) -> None:
    """Give up: the old weights first, everything else after."""
    _ask(stack, as_json, no_wait, EventKind.ABORT, reason)


@release.command()
@_stack
@_json
@_no_wait
@_reason
def rollback(stack: str, as_json: bool, no_wait: bool, reason: str) -> None:
    """Back to the version before: at once while it still runs, else as a release of its own in one step."""
    tool = _open(stack, steps="100")
    run = verbs.current(tool)
    if not run.ended:
        _ask(stack, as_json, no_wait, EventKind.ABORT, reason or "rollback")
        return
    before = verbs.version_before(tool)
    tool.smoke.prepare()
    again = verbs.begin(tool, verbs.propose(tool, "rollback", before[0], before[1], reason))
    if no_wait:
        tool.lease.give_back()
        verbs.detach(stack)
        return
    output.finish(verbs.drive(tool, again, output.progress()), as_json)


@release.command()
@click.argument("run_id", required=False)
@_stack
@_json
@click.option("--limit", default=20, show_default=True, help="Newest releases to list.")
def history(run_id: str | None, stack: str, as_json: bool, limit: int) -> None:
    """All releases, or with RUN_ID every line of one."""
    journal = _open(stack).journal
    if run_id is None:
        output.runs(journal.runs(limit), as_json)
        return
    output.entries(journal, run_id, as_json)


@release.command()
@_stack
@_json
@click.option("--force", "reason", default="", metavar="REASON", help="Break a lease that has not expired.")
def unlock(stack: str, as_json: bool, reason: str) -> None:
    """Free the lease of an owner that is gone; its next write is refused. The release itself stays."""
    tool = _open(stack)
    holder = tool.lease.holder()
    if holder is None:
        console.err.print("Nobody holds the lease.")
    elif holder.expires_at > tool.clock.now() and not reason:
        raise UserError(
            f"{holder.owner} holds the lease for another {holder.expires_at - tool.clock.now():.0f} s.",
            "Wait, or take it away with --force REASON when you know that this process is gone.",
        )
    else:
        tool.lease.break_it(reason or "expired")
        console.err.print(f"The lease of {holder.owner} is broken. Go on with `{typed('resume', stack)}`.")
    if as_json:
        console.print_json({"broken": holder.owner if holder else None, "reason": reason})


def _typed(ctx: click.Context, verb: str) -> str:
    return typed(verb, ctx.meta.get(STACK, "local"))


def _open(stack: str, steps: str | None = None, strategy: str | None = None, bake: str | None = None,
          smoke: Path | None = None, **_: Any) -> Tool:  # fmt: skip
    click.get_current_context().meta[STACK] = stack
    adjust: dict[str, Any] = {}
    if steps and strategy:
        raise UserError("--steps and --strategy exclude each other.", "Give one of them.")
    if strategy:
        adjust["steps"] = STRATEGIES[strategy]
    if steps:
        adjust["steps"] = parse_steps(steps)
    if bake:
        adjust["bake"] = parse_seconds(bake, "--bake")
    return open_tool(stack, smoke, adjust)


def _propose(tool: Tool, kind: Kind, version: str = "", image: str = "", force: str = "", **_: Any) -> Run:
    if not version and not image:
        raise UserError("Which version?", "Name it: --version v2, in AWS with --image REPOSITORY:TAG.")
    if tool.outputs.compute != "local" and not image:
        raise UserError("A release in AWS needs --image.", "Name an image that the registry has.")
    tag = image.rpartition(":")[2][:64]
    if image and version not in ("", tag):
        raise UserError(
            f"--version {version} is not the tag of --image {image}.",
            "Leave --version out: in AWS the tag is the version that answers.",
        )
    label = check_version(version or tag)
    return verbs.propose(tool, kind, label, image or label, force)


def _ask(stack: str, as_json: bool, no_wait: bool, kind: EventKind, reason: str) -> None:
    tool = _open(stack)
    run = verbs.ask(tool, kind, reason, output.progress(), not no_wait)
    if no_wait and not run.ended and tool.lease.holder() is None:
        verbs.detach(stack)
    wanted = Phase.ABORTED if kind is EventKind.ABORT else Phase.SUCCEEDED
    output.finish(run, as_json, wanted)
