"""The database is gone: one command brings it back. And the day somebody deletes too much. In order."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from click.testing import CliRunner

from infra.cli import main
from infra.recovery import fingerprint
from infra.recovery.database import Address, tables
from infra.recovery.manifest import Fingerprint
from tests.e2e.commands import SuperAgent
from tests.infra.recovery.test_runbook import commands
from tests.parts import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@dataclass
class System:
    """A running system with some traffic behind it."""

    superagent: SuperAgent
    key: str
    asked: int = 0
    notes: dict[str, Any] = field(default_factory=dict)
    ran: set[str] = field(default_factory=set)
    """Lines of the runbook that were run."""

    def ask(self, times: int) -> None:
        url = f"http://127.0.0.1:{self.superagent.ports()['api']}/v1/chat/completions"
        body = {"model": "echo", "messages": [{"role": "user", "content": "remember me"}]}
        for _ in range(times):
            answer = httpx.post(url, json=body, headers={"Authorization": f"Bearer {self.key}"}, timeout=30)
            assert answer.status_code == 200, answer.text
        self.asked += times
        wait_until(lambda: self.usage() == self.asked, f"{self.asked} usage rows are written", 40)

    def address(self) -> Address:
        return Address.parse((self.superagent.home / "secrets" / "database_owner_url").read_text())

    def usage(self) -> int:
        with self.address().connect() as connection:
            row = connection.execute("select count(*) from usage").fetchone()
            assert row is not None
            return int(row[0])

    def prints(self) -> dict[str, Fingerprint]:
        with self.address().connect() as connection:
            present = tables(connection)
        return fingerprint.take(self.address(), present)

    def settled(self) -> dict[str, Fingerprint]:
        """What the database holds once the service has written what it writes in the background."""
        seen: list[tuple[float, dict[str, Fingerprint]]] = []

        def unchanged_for_two_seconds() -> bool:
            now = (time.monotonic(), self.prints())
            if seen and seen[0][1] == now[1]:
                return now[0] - seen[0][0] > 2
            seen[:] = [now]
            return False

        wait_until(unchanged_for_two_seconds, "the database is at rest", 60)
        return seen[0][1]

    def json(self, *words: str) -> Any:
        return json.loads(self.superagent.must(*words, "--json"))

    def line(self, text: str, **values: str) -> Any:
        """Run a line of the runbook, its words in capitals replaced; its answer."""
        assert text in commands("local"), f"the runbook has no line {text!r}"
        words = [values.get(word, word) for word in shlex.split(text)[1:]]
        answer = self.json(*words)
        self.ran.add(text)
        return answer

    def clock(self) -> datetime:
        """The time that the database has."""
        with self.address().connect() as connection:
            row = connection.execute("select clock_timestamp()").fetchone()
        assert row is not None
        moment: datetime = row[0].astimezone(UTC)
        return moment


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    superagent = SuperAgent(Path(tmp_path_factory.mktemp("sa")) / "home")
    try:
        said = json.loads(superagent.must("up", "--json"))
        yield System(superagent, said["admin_key"])
    finally:
        superagent.must("down", "--purge")


def test_a_backup_of_everything_is_made_and_verified(system: System) -> None:
    system.ask(20)
    plan = system.json("backup", "create", "--dry-run")
    assert [one["kind"] for one in plan["would_create"]] == ["postgres", "redis", "config", "base"]
    made = system.line("superagent backup create")
    assert {one["kind"] for one in made} == {"postgres", "redis", "config", "base"}
    assert all(one["sound"] for one in system.line("superagent backup verify"))
    assert all(one["verified_at"] for one in system.line("superagent backup list"))
    assert system.line("superagent backup prune --dry-run")["orphans"] == []
    metrics = (system.superagent.home / "metrics" / "superagent_backup_local.prom").read_text()
    assert 'superagent_backup_last_verified_timestamp_seconds{environment="local",kind="postgres"}' in metrics


def test_the_lost_database_comes_back_with_one_command(system: System) -> None:
    before = system.settled()
    system.json("backup", "create", "--only", "postgres")
    assert before["public.usage"].rows == system.asked
    pid = system.superagent.parts()["postgres"]["pid"]
    os.kill(pid, signal.SIGKILL)
    shutil.rmtree(system.superagent.home / "data" / "postgres", ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):  # the supervisor may have tried to start it meanwhile
        shutil.rmtree(system.superagent.home / "data" / "postgres")

    report = system.line("superagent restore --from latest --cutover")

    assert report["restored"]["compared"] == "content"
    assert report["rto_seconds"] > 0
    assert report["rpo_seconds"] > 0
    assert report["cutover"]["restarted"] == ["blue-1", "blue-2"]
    assert system.prints() == before
    system.line("superagent status")
    system.ask(3)


def test_a_bad_delete_is_undone_to_the_second_before(system: System) -> None:
    system.json("backup", "create", "--only", "base")
    system.ask(4)
    before = system.settled()
    good = system.clock() + timedelta(milliseconds=300)
    wait_until(lambda: system.clock() > good + timedelta(seconds=1), "the clock of the database moves on")
    with system.address().connect() as connection:
        connection.execute("delete from usage")
    system.notes["deleted"] = system.address().name

    report = system.line("superagent restore --to-time TIME --cutover", TIME=good.isoformat())

    assert system.prints() == before
    assert report["rows_written_since"]["public.usage"] == -system.asked
    assert datetime.fromisoformat(report["snapshot_at"]) == good
    system.superagent.must("status")
    system.notes["good"] = report["restored"]["backup"]


def kill_and_finish(system: System, name: str, moment: str) -> None:
    """Start a switch to database `name`, kill it at `moment`, give the same command again."""
    home = system.superagent.home
    first = system.superagent.parts()["blue-1"]["pid"]
    reached = {
        "the plan is written": lambda: (home / "recovery" / "cutover.json").exists(),
        "the address is written": lambda: system.address().name == name,
        "the first one stops": lambda: not Path(f"/proc/{first}").exists(),
    }[moment]
    process = system.superagent.start("restore", "--switch-to", name)
    try:
        wait_until(reached, moment, 60)
    finally:
        process.kill()
        process.communicate()
    assert (home / "recovery" / "cutover.json").exists(), "the kill came after the end"

    report = system.line("superagent restore --switch-to NAME", NAME=name)

    assert report["cutover"]["restarted"] == ["blue-1", "blue-2"]
    assert not (home / "recovery" / "cutover.json").exists()
    assert system.address().name == name
    system.superagent.must("status")


def test_the_database_of_before_is_kept_and_taken_again_even_by_a_cutover_that_is_killed(
    system: System,
) -> None:
    old = system.notes["deleted"]
    with (
        system.address().database(old).connect() as connection,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        connection.execute("create table late (n int)")
    kill_and_finish(system, old, "the address is written")
    assert system.usage() == 0


def test_a_backup_is_chosen_by_its_id(system: System) -> None:
    report = system.line("superagent restore --from ID --cutover", ID=system.notes["good"])
    assert report["cutover"]["before"] == f"local/{system.notes['deleted']}"
    assert system.usage() == system.asked
    system.ask(1)


@pytest.mark.soak
@pytest.mark.parametrize("moment", ["the plan is written", "the address is written", "the first one stops"])
def test_a_cutover_killed_at_any_moment_is_finished_by_the_same_command(system: System, moment: str) -> None:
    if "deleted" not in system.notes:  # run alone: another database to go to
        system.json("backup", "create", "--only", "postgres")
        system.notes["deleted"] = system.json("restore", "--from", "latest")["restored"]["database"]
    old, good = system.notes["deleted"], system.notes.setdefault("last", system.address().name)
    kill_and_finish(system, old if system.address().name == good else good, moment)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--from", "yesterday"], "'yesterday' is not a backup id"),
        (["--to-time", "noon"], "'noon' is no time"),
        (["--to-time", "2026-11-23T02:00:00"], "does not say its time zone"),
        (["--to-time", "2020-01-01T00:00:00Z"], "No base backup is older than 2020"),
        (["--switch-to", "nowhere"], "There is no database nowhere"),
        (["--switch-to", "local/no where"], "'no where' is no database name here"),
        (["--into", "a b"], "'a b' is no database name here"),
    ],
)
def test_a_restore_without_a_backup_server_or_time_says_what_to_do(
    system: System, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    monkeypatch.setenv("SUPERAGENT_HOME", str(system.superagent.home))
    done = CliRunner().invoke(main, ["restore", *words])
    assert (done.exit_code, told in " ".join(done.output.split())) == (2, True), done.output


def test_every_local_command_of_the_runbook_runs(system: System) -> None:
    """Those that the tests above did not run yet, as they stand on the page."""
    if not system.json("backup", "list", "--kind", "postgres"):
        system.line("superagent backup create")
    newest = system.json("backup", "list", "--kind", "postgres")[-1]["id"]
    values = {"ID": newest, "TIME": system.clock().isoformat(), "NAME": system.address().name}
    lines = commands("local")
    for line in lines:
        if line not in system.ran:
            system.superagent.must(*[values.get(word, word) for word in shlex.split(line)[1:]])
            system.ran.add(line)
    assert set(lines) <= system.ran
    assert len(lines) >= 17
    system.superagent.must("status")
