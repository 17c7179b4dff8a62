"""`superagent schedule`: what runs by itself and when, and one turn of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path

import click
from rich.table import Table

from infra import console
from infra.errors import OperationFailed, UserError
from infra.home import CHECKOUT
from infra.local.children import end_with_parent
from infra.recovery import context, failures, turn
from infra.recovery.commands import json_option, stack_option
from infra.stack import schedule
from infra.stack.schedule import Job, Plan

STDERR = 2
"""File descriptor: this command's own stdout is one document."""
NAMES = tuple(job.name for job in Plan().jobs())


def plan_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of a plan; the command gets it as `plan`."""

    @wraps(command)
    def with_plan(at: str, keep_postgres: int, keep_redis: int, **rest: object) -> None:
        command(plan=Plan(at, keep_postgres, keep_redis), **rest)

    days, told = click.IntRange(1), "Retention that the prune job applies."
    for option in (
        click.option("--keep-redis", envvar=schedule.KEEP_REDIS, metavar="DAYS", type=days, default=7,
                     show_default=True, help=told),
        click.option("--keep-postgres", envvar=schedule.KEEP_POSTGRES, metavar="DAYS", type=days, default=30,
                     show_default=True, help=told),
        click.option("--at", envvar=schedule.TIME, metavar="HH:MM", default="02:00", show_default=True,
                     help="When the daily backup starts, UTC; the other jobs follow it."),
    ):  # fmt: skip
        with_plan = option(with_plan)
    return with_plan


@click.group("schedule", cls=failures.Group, context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """What runs by itself: backup daily, verify, prune, a drill every week.

    In AWS the stack installs it (timers on EC2, CronJobs in EKS) when superagent:tools_image is set. Here
    nothing runs unasked: `serve` runs it while you let it, `units` writes systemd timers.

    \b
    superagent schedule list
    superagent schedule run backup --stack prod
    superagent schedule serve
    """


@group.command("list")
@plan_options
@json_option
def list_(plan: Plan, as_json: bool) -> None:
    """List the jobs and when each is next due."""
    now = datetime.now(UTC)
    rows = [
        {"job": job.name, "command": " ".join(job.words), "next": schedule.following(job, now).isoformat()}
        for job in plan.jobs()
    ]
    if as_json:
        console.print_json(rows)
        return
    table = Table("job", "command", "next")
    for row in rows:
        table.add_row(*row.values())
    console.out.print(table)


@group.command("run")
@click.argument("name", metavar="JOB", type=click.Choice(NAMES))
@stack_option
@plan_options
@click.option("--dry-run", is_flag=True, help="Say whether this turn is still to be done; do nothing.")
@json_option
def run_(plan: Plan, name: str, stack: str, dry_run: bool, as_json: bool) -> None:
    """Take the turn of a job, unless it was taken: safe to start on many machines at once."""
    job = next(one for one in plan.jobs() if one.name == name)
    moment = schedule.due(job, datetime.now(UTC))
    table = context.load(stack).lease_table()
    answer = {"job": name, "turn": moment.isoformat()}
    if dry_run:
        answer["state"] = "done before" if turn.is_done(table, name, moment) else "would run"
    else:
        mine = turn.take(table, name, moment, lambda: _work(job, stack), job.deadline_seconds)
        answer["state"] = "done" if mine else "done before or elsewhere"
    if as_json:
        console.print_json(answer)
    else:
        console.out.print(f"{name} of {moment:%Y-%m-%d %H:%M} UTC: {answer['state']}")


def _work(job: Job, stack: str) -> None:
    """The job in a process of its own; what it prints goes where this process' output goes."""
    command = [sys.executable, "-m", "infra.cli", *job.words, "--stack", stack]
    try:
        done = subprocess.run(
            command, cwd=CHECKOUT, stdout=STDERR, timeout=job.deadline_seconds, check=False,
            preexec_fn=end_with_parent,  # else it keeps the backup's lease, and whoever takes the turn fails
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise OperationFailed(
            f"{job.name} took longer than {job.deadline_seconds} s and was ended."
        ) from None
    if done.returncode:
        raise OperationFailed(f"{job.name} failed with exit code {done.returncode}; it says why above.")


@group.command()
@stack_option
@plan_options
def serve(plan: Plan, stack: str) -> None:
    """Run every job at its time until interrupted; a job that fails is told and tried at its next time."""
    context.load(stack)  # a wrong stack is told now and not at two in the morning
    last = dict.fromkeys(NAMES, datetime.now(UTC))

    def following(job: Job) -> datetime:
        return schedule.following(job, last[job.name])

    while True:
        # By the last turn of each and not by the clock: what was due while another job ran is not forgotten.
        job = min(plan.jobs(), key=following)
        moment = following(job)
        console.err.print(f"Next: {job.name} at {moment:%Y-%m-%d %H:%M} UTC")
        while (left := (moment - datetime.now(UTC)).total_seconds()) > 0:
            time.sleep(min(60.0, left))  # in steps, so that a machine that slept notices
        last[job.name] = max(moment, schedule.due(job, datetime.now(UTC)))
        command = [sys.executable, "-m", "infra.cli", *schedule.turn(job, stack)]
        environment = {**os.environ, **plan.environment()}
        if code := subprocess.run(command, cwd=CHECKOUT, env=environment, check=False).returncode:
            console.err.print(f"{job.name} ended with exit code {code}.")


@group.command()
@stack_option
@plan_options
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where they go."
)
@click.option("--user", default="root", show_default=True, help="Who runs them.")
@click.option("--dry-run", is_flag=True, help="Name the files; write nothing.")
@json_option
def units(plan: Plan, stack: str, folder: Path, user: str, dry_run: bool, as_json: bool) -> None:
    """Write systemd services and timers for this machine; `systemctl enable --now` makes them run."""
    files = {
        name: text
        for job in plan.jobs()
        for name, text in schedule.systemd(job, plan, stack, str(CHECKOUT), user).items()
    }
    if not dry_run:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                (folder / name).write_text(text)
        except OSError as failed:
            raise UserError(f"{folder} cannot be written: {failed.strerror}.", "Choose another.") from None
    if as_json:
        console.print_json({"dry_run": dry_run, "files": [str(folder / name) for name in files]})
        return
    for name in files:
        console.out.print(str(folder / name), markup=False)
