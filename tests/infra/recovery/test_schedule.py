"""Many machines have the timer; one of them does the job, once a turn, and another one when it fails."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.cli import main
from infra.errors import OperationFailed
from infra.recovery import config_backup, turn
from tests.infra.recovery.conftest import Cloud

MOMENT = datetime(2026, 11, 23, 2, tzinfo=UTC)


def take(cloud: Cloud, work: object, moment: datetime = MOMENT) -> bool:
    return turn.take(cloud.table, "backup", moment, work, 60, wait_seconds=0.05, lease_seconds=1)  # type: ignore[arg-type]


@pytest.mark.component
def test_one_of_many_machines_does_the_job(cloud: Cloud) -> None:
    ran: list[str] = []
    started = threading.Event()
    others_began = threading.Event()

    def work() -> None:
        ran.append(threading.current_thread().name)
        started.set()
        assert others_began.wait(60)

    first = threading.Thread(target=lambda: take(cloud, work), name="first")
    first.start()
    assert started.wait(60)
    answers: list[bool] = []
    others = [threading.Thread(target=lambda: answers.append(take(cloud, work))) for _ in range(2)]
    for one in others:
        one.start()
    others_began.set()
    for one in (first, *others):
        one.join(60)
    assert (ran, answers) == (["first"], [False, False])
    assert take(cloud, work, MOMENT - timedelta(days=1)) is False, "a turn of before is done too"


@pytest.mark.component
def test_a_job_that_fails_is_left_to_the_next_machine(cloud: Cloud) -> None:
    def fail() -> None:
        raise OperationFailed("the disk is full")

    with pytest.raises(OperationFailed, match="disk is full"):
        take(cloud, fail)
    assert not turn.is_done(cloud.table, "backup", MOMENT)
    assert take(cloud, lambda: None) is True
    assert take(cloud, fail) is False
    assert take(cloud, lambda: None, MOMENT + timedelta(days=1)) is True


@pytest.mark.component
def test_a_machine_that_died_in_its_turn_is_replaced(cloud: Cloud) -> None:
    cloud.table.put_item(Item={"pk": "recovery", "sk": "lease#job backup", "owner": "dead", "beat": 3})
    assert take(cloud, lambda: None) is True


@pytest.mark.component
def test_a_restored_configuration_does_not_skip_a_turn(cloud: Cloud) -> None:
    take(cloud, lambda: None)
    assert list(config_backup._items(cloud.table)) == []


def test_the_list_says_what_is_next() -> None:
    done = CliRunner().invoke(main, ["schedule", "list", "--at", "03:30", "--keep-redis", "9", "--json"])
    rows = {row["job"]: row for row in json.loads(done.output)}
    assert rows["backup"]["next"].endswith("T03:30:00+00:00")
    assert rows["backup-prune"]["command"] == "backup prune --keep postgres=30 --keep redis=9"


def test_units_for_systemd_are_written_for_another_machine(tmp_path: Path) -> None:
    words = ["schedule", "units", "--stack", "prod", "--folder", str(tmp_path / "units"), "--json"]
    assert CliRunner().invoke(main, [*words, "--dry-run"]).exit_code == 0
    assert not (tmp_path / "units").exists()
    made = json.loads(CliRunner().invoke(main, words).output)["files"]
    assert len(made) == 8
    assert all(Path(name).read_text().startswith("[Unit]") for name in made)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "nonsense"], "Invalid value for"),
        (["list", "--at", "25:00"], "'25:00' is no time of day"),
        (["list", "--keep-redis", "0"], "Invalid value for '--keep-redis'"),
        (["units", "--folder", "/dev/null/x"], "cannot be written"),
    ],
)
def test_bad_input_is_refused_with_the_reason(words: list[str], told: str) -> None:
    done = CliRunner().invoke(main, ["schedule", *words])
    assert done.exit_code == 2
    assert told in done.output
