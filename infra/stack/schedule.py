"""When backups, verification, pruning and drills run (pure): one table, rendered for each compute.

A CronJob in EKS, a systemd timer on EC2 and on any other machine. Every instance has the timer; which of them
does the work is decided in DynamoDB (`superagent schedule run`, infra/recovery/turn.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from infra.errors import UserError

TIME: Final = "SUPERAGENT_BACKUP_TIME"
KEEP_POSTGRES: Final = "SUPERAGENT_KEEP_POSTGRES_DAYS"
KEEP_REDIS: Final = "SUPERAGENT_KEEP_REDIS_DAYS"
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Job:
    """One thing that happens again and again; times are UTC."""

    name: str
    words: tuple[str, ...]
    """Arguments of `superagent`; the stack is added."""
    hour: int
    minute: int
    weekday: str | None = None
    """`None` means every day."""
    deadline_seconds: int = 6 * 3600


@dataclass(frozen=True, slots=True)
class Plan:
    """What can be configured: the stack's settings, options and environment variables all end here."""

    at: str = "02:00"
    """When the daily backup starts, HH:MM in UTC; the other jobs follow it."""
    postgres_days: int = 30
    redis_days: int = 7
    """Retention that the prune job applies."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", self.at):
            raise UserError(f"{self.at!r} is no time of day.", "Write HH:MM, 00:00 to 23:59, UTC.")

    def jobs(self) -> tuple[Job, ...]:
        """The table: backup daily, then verify of the older ones, then prune; a drill once a week."""
        hour, minute = (int(part) for part in self.at.split(":"))
        keep = ("--keep", f"postgres={self.postgres_days}", "--keep", f"redis={self.redis_days}")
        return (
            # Read back at once: with the daily verify alone, yesterday's would be the newest verified one
            # for 26 hours and the time that reading takes, and the alert's limit is 26.
            Job("backup", ("backup", "create", "--verify"), hour, minute),
            Job("backup-verify", ("backup", "verify"), (hour + 2) % 24, minute),
            Job("backup-prune", ("backup", "prune", *keep), (hour + 3) % 24, minute),
            Job("drill", ("drill",), (hour + 4) % 24, minute, "Sun"),
        )

    def environment(self) -> dict[str, str]:
        """How a plan reaches `superagent schedule` on another machine."""
        return {
            TIME: self.at,
            KEEP_POSTGRES: str(self.postgres_days),
            KEEP_REDIS: str(self.redis_days),
        }


def turn(job: Job, stack: str) -> list[str]:
    """Arguments that make a timer's machine take the job's turn, or leave it to the one that has it."""
    return ["schedule", "run", job.name, "--stack", stack]


def cron(job: Job) -> str:
    """Five fields as Kubernetes and crontab(5) read them."""
    return f"{job.minute} {job.hour} * * {'*' if job.weekday is None else job.weekday.lower()}"


def due(job: Job, now: datetime) -> datetime:
    """The last moment, `now` included, at which the job was to start: the name of one turn of it."""
    at = now.astimezone(UTC).replace(hour=job.hour, minute=job.minute, second=0, microsecond=0)
    while at > now or (job.weekday is not None and WEEKDAYS[at.weekday()] != job.weekday):
        at -= timedelta(days=1)
    return at


def following(job: Job, now: datetime) -> datetime:
    """The next moment after `now` at which the job is to start."""
    return due(job, due(job, now) + timedelta(days=1 if job.weekday is None else 7))


def systemd(job: Job, plan: Plan, stack: str, checkout: str, user: str) -> dict[str, str]:
    """File name → text of a service and its timer."""
    name = f"superagent-{stack}-{job.name}"
    words = " ".join(turn(job, stack))
    settings = "".join(f"Environment={key}={text}\n" for key, text in plan.environment().items())
    service = f"""[Unit]
Description=SuperAgent {job.name} of {stack}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
User={user}
WorkingDirectory={checkout}
{settings}ExecStart={checkout}/.venv/bin/superagent {words}
TimeoutStartSec={job.deadline_seconds}
Nice=10
"""
    return {f"{name}.service": service, f"{name}.timer": timer(job, stack)}


def timer(job: Job, stack: str, unit: str = "") -> str:
    """A systemd timer; a machine that was off at its time runs it when it is back."""
    day = f"{job.weekday} " if job.weekday else ""
    which = f"Unit={unit}\n" if unit else ""
    return f"""[Unit]
Description=SuperAgent {job.name} of {stack}, on time

[Timer]
OnCalendar={day}*-*-* {job.hour:02d}:{job.minute:02d}:00 UTC
Persistent=true
{which}
[Install]
WantedBy=timers.target
"""
