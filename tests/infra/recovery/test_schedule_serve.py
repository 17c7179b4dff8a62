"""`superagent schedule serve`: a job that takes long keeps no other from its turn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from infra.cli import main
from infra.recovery import context, schedule_command


class Enough(Exception):
    """Everything was seen."""


class Clock(datetime):
    """Time that passes when somebody sleeps or works."""

    at = datetime(2026, 11, 22, 1, tzinfo=UTC)

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return cls.at


def test_what_was_due_while_another_job_ran_comes_next_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Sunday on which the backup of 02:00 takes until 07:00: the drill of 06:00 comes once a week."""
    ran: list[tuple[str, datetime]] = []

    def run(command: list[str], **_: Any) -> Any:
        job = command[command.index("run") + 1]
        ran.append((job, Clock.at))
        if len(ran) == 6:
            raise Enough
        Clock.at += timedelta(hours=5 if job == "backup" else 0, minutes=1)
        return SimpleNamespace(returncode=0)

    def sleep(seconds: float) -> None:
        Clock.at += timedelta(seconds=seconds)

    monkeypatch.setattr(context, "load", lambda *_: None)
    monkeypatch.setattr(schedule_command, "datetime", Clock)
    monkeypatch.setattr(schedule_command.time, "sleep", sleep)
    monkeypatch.setattr(schedule_command.subprocess, "run", run)
    done = CliRunner().invoke(main, ["schedule", "serve"])
    assert isinstance(done.exception, Enough), done.output
    assert [job for job, _ in ran] == [
        "backup",
        "backup-verify",
        "backup-prune",
        "drill",
        "backup",
        "backup-verify",
    ]
    assert [at.day for _, at in ran] == [22, 22, 22, 22, 23, 23]
