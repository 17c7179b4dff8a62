"""When backups, verification, pruning and drills run (pure): one table, rendered for each compute.

EventBridge starts an SSM command on EC2, a CronJob runs in EKS, a systemd timer serves any other machine.
Nothing here creates anything: `infra/stack` composes what belongs to AWS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from infra.errors import UserError

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

    def __post_init__(self) -> None:
        if not (0 <= self.hour <= 23 and 0 <= self.minute <= 59):
            raise UserError(f"{self.hour}:{self.minute:02d} is no time of day.", "Use 0:00 to 23:59, UTC.")
        if self.weekday is not None and self.weekday not in WEEKDAYS:
            raise UserError(f"{self.weekday!r} is no weekday.", f"Use one of {', '.join(WEEKDAYS)}.")


def jobs(
    backup_hour: int = 2, backup_minute: int = 0, postgres_days: int = 30, redis_days: int = 7
) -> tuple[Job, ...]:
    """The table: backup daily, then verify, then prune; a drill once a week."""
    keep = ("--keep", f"postgres={postgres_days}", "--keep", f"redis={redis_days}")
    return (
        Job("backup", ("backup", "create"), backup_hour, backup_minute),
        Job("backup-verify", ("backup", "verify"), (backup_hour + 2) % 24, backup_minute),
        Job("backup-prune", ("backup", "prune", *keep), (backup_hour + 3) % 24, backup_minute),
        Job("drill", ("drill",), (backup_hour + 4) % 24, backup_minute, "Sun"),
    )


def command(job: Job, stack: str) -> list[str]:
    """What is run."""
    return ["superagent", *job.words, "--stack", stack, "--json"]


def cron(job: Job) -> str:
    """Five fields as Kubernetes and crontab(5) read them."""
    return f"{job.minute} {job.hour} * * {'*' if job.weekday is None else job.weekday.lower()}"


def eventbridge(job: Job) -> str:
    """Six fields with a `?`, as EventBridge Scheduler reads them."""
    day = "* * ?" if job.weekday is None else f"? * {job.weekday.upper()}"
    return f"cron({job.minute} {job.hour} {day} *)"


def eventbridge_schedule(job: Job, stack: str, target_arn: str, role_arn: str, tag: str) -> dict[str, Any]:
    """Arguments of `scheduler:CreateSchedule` that send the command to one machine tagged `tag`."""
    document = {
        "DocumentName": "AWS-RunShellScript",
        "Targets": [{"Key": "tag:superagent:role", "Values": [tag]}],
        "MaxConcurrency": "1",
        "TimeoutSeconds": job.deadline_seconds,
        "Parameters": {
            "commands": [" ".join(command(job, stack))],
            "executionTimeout": [str(job.deadline_seconds)],
        },
    }
    return {
        "Name": f"superagent-{stack}-{job.name}",
        "ScheduleExpression": eventbridge(job),
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": target_arn,
            "RoleArn": role_arn,
            "Input": document,
            "RetryPolicy": {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 3600},
        },
    }


def cron_job(job: Job, stack: str, image: str, namespace: str, service_account: str) -> dict[str, Any]:
    """A `batch/v1` CronJob. `Forbid` is a courtesy: the lease in DynamoDB is what keeps two runs apart."""
    container = {
        "name": job.name,
        "image": image,
        "command": command(job, stack),
        "resources": {
            "requests": {"cpu": "500m", "memory": "256Mi"},
            "limits": {"memory": "512Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a mount in the container
    }
    pod = {
        "serviceAccountName": service_account,
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": f"superagent-{job.name}", "namespace": namespace},
        "spec": {
            "schedule": cron(job),
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 3600,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 7,
            "jobTemplate": {
                "spec": {
                    "backoffLimit": 2,
                    "activeDeadlineSeconds": job.deadline_seconds,
                    "template": {"spec": pod},
                }
            },
        },
    }


def systemd(job: Job, stack: str, checkout: str, user: str) -> dict[str, str]:
    """File name → text of a service and its timer."""
    name = f"superagent-{stack}-{job.name}"
    day = f"{job.weekday} " if job.weekday else ""
    words = " ".join(command(job, stack)[1:])
    service = f"""[Unit]
Description=SuperAgent {job.name} of {stack}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
User={user}
WorkingDirectory={checkout}
ExecStart={checkout}/.venv/bin/superagent {words}
TimeoutStartSec={job.deadline_seconds}
Nice=10
"""
    timer = f"""[Unit]
Description=SuperAgent {job.name} of {stack}, on time

[Timer]
OnCalendar={day}*-*-* {job.hour:02d}:{job.minute:02d}:00 UTC
Persistent=true

[Install]
WantedBy=timers.target
"""
    return {f"{name}.service": service, f"{name}.timer": timer}
