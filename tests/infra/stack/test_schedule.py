"""The same table means the same times, whoever runs it."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.errors import UserError
from infra.stack import schedule
from infra.stack.schedule import Plan

PLAN = Plan()
BACKUP, VERIFY, PRUNE, DRILL = PLAN.jobs()
MONDAY = datetime(2026, 11, 23, 1, 59, 59, tzinfo=UTC)


def test_the_defaults_are_two_in_the_morning_thirty_days_and_seven() -> None:
    assert schedule.cron(BACKUP) == "0 2 * * *"
    assert PRUNE.words == ("backup", "prune", "--keep", "postgres=30", "--keep", "redis=7")


def test_a_weekly_job_names_its_day_in_every_dialect() -> None:
    assert schedule.cron(DRILL) == "0 6 * * sun"
    files = schedule.systemd(DRILL, PLAN, "prod", "/opt/superagent", "backup")
    assert "OnCalendar=Sun *-*-* 06:00:00 UTC" in files["superagent-prod-drill.timer"]
    service = files["superagent-prod-drill.service"]
    assert "ExecStart=/opt/superagent/.venv/bin/superagent schedule run drill --stack prod\n" in service


def test_a_plan_travels_in_the_environment() -> None:
    plan = Plan("22:15", 60, 3)
    assert [(job.hour, job.minute) for job in plan.jobs()] == [(22, 15), (0, 15), (1, 15), (2, 15)]
    assert plan.environment() == {
        "SUPERAGENT_BACKUP_TIME": "22:15",
        "SUPERAGENT_KEEP_POSTGRES_DAYS": "60",
        "SUPERAGENT_KEEP_REDIS_DAYS": "3",
    }


@pytest.mark.parametrize("at", ["24:00", "2:00", "02:60", "noon", ""])
def test_an_impossible_time_is_refused(at: str) -> None:
    with pytest.raises(UserError, match="is no time of day"):
        Plan(at)


def test_a_turn_is_named_by_the_moment_it_was_due() -> None:
    assert schedule.due(BACKUP, MONDAY) == datetime(2026, 11, 22, 2, tzinfo=UTC)
    assert schedule.due(BACKUP, MONDAY + timedelta(seconds=1)) == datetime(2026, 11, 23, 2, tzinfo=UTC)
    assert schedule.due(DRILL, MONDAY) == datetime(2026, 11, 22, 6, tzinfo=UTC)


def test_the_next_turn_is_a_day_or_a_week_after_the_last() -> None:
    assert schedule.following(BACKUP, MONDAY) == datetime(2026, 11, 23, 2, tzinfo=UTC)
    assert schedule.following(BACKUP, MONDAY + timedelta(seconds=1)) == datetime(2026, 11, 24, 2, tzinfo=UTC)
    assert schedule.following(DRILL, MONDAY) == datetime(2026, 11, 29, 6, tzinfo=UTC)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not on this machine")
def test_systemd_understands_the_timer(tmp_path: Path) -> None:
    for name, text in schedule.systemd(DRILL, PLAN, "prod", "/opt/superagent", "root").items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(["systemd-analyze", "calendar", "Sun *-*-* 06:00:00 UTC"], capture_output=True)
    assert done.returncode == 0
