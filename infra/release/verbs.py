"""What the release verbs do, without their options: begin, drive, ask, take over."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

from infra.errors import UserError
from infra.home import home
from infra.release import plan
from infra.release.journal import Ask, RunInProgress, describe
from infra.release.lease import SKEW, LeaseHeld, owner_name
from infra.release.state import RETREAT, Event, EventKind, Kind, Phase, Run
from infra.release.typed import typed
from infra.release.wiring import Tool
from infra.stack.outputs import COLOURS, Colour

Watch = Callable[[Run], None]


def propose(tool: Tool, kind: Kind, version: str, image: str, force: str) -> Run:
    """The run that would be made now: which colour is live, and what it runs."""
    live = tool.router.read()
    carrying = [colour for colour in COLOURS if live.weights[colour] > 0]
    if len(carrying) != 1:
        raise UserError(
            f"The listener splits traffic ({live.text()}), and no release is under way.",
            "Give one colour all of it by hand, then try again.",
        )
    old: Colour = carrying[0]
    now = tool.clock.now()
    return Run(
        run_id=f"{int(now * 1000):013d}-{uuid.uuid4().hex[:6]}",
        environment=tool.outputs.environment,
        kind=kind,
        old=old,
        new="green" if old == "blue" else "blue",
        version=version,
        image=image,
        old_image=tool.fleet.image(old),
        steps=tool.profile.steps,
        bake_seconds=tool.profile.bake,
        started_at=now,
        started_by=tool.lease.owner,
        entered_at=now,
        stickiness_seconds=live.stickiness_seconds,
        force=force,
    )


def begin(tool: Tool, run: Run) -> Run:
    """Write a proposed run into the journal; this process then owns it. `UserError` when one is under way."""
    take_lease(tool, f"{run.kind} {run.version}")
    try:
        tool.journal.create(run, tool.lease)
    except RunInProgress as other:
        tool.lease.give_back()
        raise UserError(
            f"Release of {other.run.version} ({other.run.run_id}) has not ended: it is at {other.run.phase}.",
            f"Go on with `{typed('resume', run.environment)}`, or give up with "
            f"`{typed('abort', run.environment)}`.",
        ) from None
    return run


def take_lease(tool: Tool, reason: str) -> None:
    """Own the environment's releases, or say who does."""
    try:
        tool.lease.take(reason)
    except LeaseHeld as held:
        raise UserError(
            f"{held}: {held.holder.reason}.",
            f"Wait for it (`{typed('status', tool.outputs.environment)}`); if that process is gone, "
            "the lease ends by itself.",
        ) from None


def drive(tool: Tool, run: Run, watch: Watch) -> Run:
    """Be the controller until the run ends or stops; the lease is free afterwards, also after Ctrl-C."""
    effects = tool.effects()
    try:
        return tool.controller(effects, watch).drive(run)
    finally:
        tool.lease.give_back()


def current(tool: Tool) -> Run:
    """The newest run; `UserError` when there never was one."""
    run = tool.journal.current()
    if run is None:
        raise UserError(
            f"There has been no release here yet ({tool.outputs.environment}).",
            "Start one: `superagent release start`; --stack names another environment.",
        )
    return run


def ask(tool: Tool, kind: EventKind, reason: str, watch: Watch, wait: bool) -> Run:
    """Ask a run for something: its controller does it, or this process where there is none.

    Returns the run as it then stands. Raises `UserError` when the run cannot take it where it is.
    """
    run = current(tool)
    if run.ended:
        raise UserError(
            f"Release {run.run_id} has ended: {run.phase}.", f"See `{typed('history', run.environment)}`."
        )
    if kind is EventKind.ABORT and run.phase in RETREAT:
        return follow(tool, run.run_id, watch) if wait else run  # on its way already, if it has a controller
    if not plan.accepts(run, kind):
        raise UserError(
            f"A release in phase {run.phase} cannot {kind}.", f"See `{typed('status', run.environment)}`."
        )
    mine = Ask(uuid.uuid4().hex, kind, reason, owner_name())
    tool.journal.post(run.run_id, mine)
    while True:
        holder = tool.lease.holder()
        now = tool.clock.now()
        if holder is None or holder.expires_at + SKEW <= now:
            return _take_over(tool, run.run_id, watch) if wait else _apply(tool, run.run_id, mine, watch)
        waiting = tool.journal.asked(run.run_id)
        if waiting is None or waiting.ask_id != mine.ask_id:
            return follow(tool, run.run_id, watch) if wait else _read(tool, run.run_id)
        watch(run)
        tool.clock.sleep(tool.profile.poll)


def resume(tool: Tool, watch: Watch) -> Run:
    """Go on with a run whose controller is gone, or lift a pause. Waits for a dead owner's lease to end."""
    run = current(tool)
    if run.ended and run.announced == run.mark:
        raise UserError(f"Release {run.run_id} has ended: {run.phase}.", "There is nothing to resume.")
    if plan.accepts(run, EventKind.RESUME):
        return ask(tool, EventKind.RESUME, "resumed", watch, wait=True)
    return follow(tool, run.run_id, watch)


def follow(tool: Tool, run_id: str, watch: Watch) -> Run:
    """Watch a run that another process drives; become its controller when that one dies."""
    while True:
        run = _read(tool, run_id)
        holder = tool.lease.holder()
        if run.ended and run.announced == run.mark:
            return run
        if holder is None or holder.expires_at + SKEW <= tool.clock.now():
            if holder is None and not plan.effects(run):
                return run
            return _take_over(tool, run_id, watch)
        watch(run)
        tool.clock.sleep(tool.profile.poll)


def detach(stack: str, smoke: Path | None = None) -> int:
    """Start another process that goes on with the current run; its pid."""
    folder = home() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "infra.cli", "release", "resume", "--stack", stack]
    if smoke is not None:
        command += ["--smoke", str(smoke.absolute())]
    with (folder / "release.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ.copy(),
        )
    return process.pid


def _apply(tool: Tool, run_id: str, mine: Ask, watch: Watch) -> Run:
    """Follow an ask in the journal alone, where no controller drives the run."""
    take_lease(tool, mine.kind)
    try:
        run = tool.journal.adopt(run_id, tool.lease)
        event = Event(mine.kind, f"{mine.reason or 'asked'} ({mine.by})")
        run, _ = plan.advance(run, event, tool.clock.now())
        tool.journal.write(run, tool.lease, describe(event), taken=mine)
        # Whoever drives it next announces what it finds, but nobody drives one that has ended.
        return tool.controller(tool.effects(), watch).drive(run) if run.ended else run
    finally:
        tool.lease.give_back()


def _take_over(tool: Tool, run_id: str, watch: Watch) -> Run:
    try:
        tool.lease.take("take over")
    except LeaseHeld:
        return follow(tool, run_id, watch)
    run = tool.journal.adopt(run_id, tool.lease)
    return drive(tool, run, watch)


def _read(tool: Tool, run_id: str) -> Run:
    run = tool.journal.read(run_id)
    if run is None:
        raise UserError(f"There is no release {run_id}.", "See `superagent release history`.")
    return run


def version_before(tool: Tool) -> tuple[str, str]:
    """Label and image of the version that was live before the newest successful release."""
    done = [run for run in tool.journal.runs(limit=50) if run.phase is Phase.SUCCEEDED]
    if not done or not done[0].old_image:
        raise UserError(
            "There is no earlier version to go back to.", "Release one: `superagent release start`."
        )
    image = done[0].old_image
    label = next((run.version for run in done[1:] if run.image == image), image.rpartition(":")[2][:64])
    return label, image
