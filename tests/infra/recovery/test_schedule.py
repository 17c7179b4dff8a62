"""The same table means the same times, whoever runs it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from infra.errors import UserError
from infra.recovery import schedule

BACKUP, VERIFY, PRUNE, DRILL = schedule.jobs()


def test_the_defaults_are_two_in_the_morning_thirty_days_and_seven() -> None:
    assert schedule.cron(BACKUP) == "0 2 * * *"
    assert schedule.eventbridge(BACKUP) == "cron(0 2 * * ? *)"
    assert PRUNE.words == ("backup", "prune", "--keep", "postgres=30", "--keep", "redis=7")


def test_a_weekly_job_names_its_day_in_every_dialect() -> None:
    assert schedule.cron(DRILL) == "0 6 * * sun"
    assert schedule.eventbridge(DRILL) == "cron(0 6 ? * SUN *)"
    timer = schedule.systemd(DRILL, "prod", "/opt/superagent", "backup")["superagent-prod-drill.timer"]
    assert "OnCalendar=Sun *-*-* 06:00:00 UTC" in timer


def test_later_jobs_wrap_around_midnight() -> None:
    late = schedule.jobs(backup_hour=22)
    assert [job.hour for job in late] == [22, 0, 1, 2]


@pytest.mark.parametrize(("hour", "minute"), [(24, 0), (-1, 0), (2, 60)])
def test_an_impossible_time_is_refused(hour: int, minute: int) -> None:
    with pytest.raises(UserError, match="is no time of day"):
        schedule.Job("x", (), hour, minute)


def test_a_cron_job_never_runs_beside_itself_and_runs_as_nobody_special() -> None:
    made = schedule.cron_job(BACKUP, "prod", "image:1", "superagent", "backup")
    spec = made["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == (
        "0 2 * * *",
        "Etc/UTC",
        "Forbid",
    )
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["containers"][0]["command"] == ["superagent", "backup", "create", "--stack", "prod", "--json"]


def test_eventbridge_sends_the_command_to_one_machine() -> None:
    made = schedule.eventbridge_schedule(VERIFY, "prod", "arn:ssm", "arn:role", "tools")
    assert made["Name"] == "superagent-prod-backup-verify"
    assert made["Target"]["Input"]["Parameters"]["commands"] == [
        "superagent backup verify --stack prod --json"
    ]
    assert made["Target"]["Input"]["MaxConcurrency"] == "1"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not on this machine")
def test_systemd_understands_the_timer(tmp_path: Path) -> None:
    for name, text in schedule.systemd(DRILL, "prod", "/opt/superagent", "root").items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(["systemd-analyze", "calendar", "Sun *-*-* 06:00:00 UTC"], capture_output=True)
    assert done.returncode == 0
