"""A restore that is killed is finished by the same command, whatever the dead one had at work."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psycopg
import pytest

from infra.recovery import load, restore, tools
from infra.recovery.database import Address
from tests.infra.recovery.conftest import Cloud, back_up
from tests.infra.recovery.killing import in_child
from tests.parts import wait_until

pytestmark = pytest.mark.component


@pytest.mark.parametrize(
    ("step", "moment"),
    [
        pytest.param(step, moment, marks=[] if (step + (moment == "after")) % 3 == 0 else pytest.mark.soak)
        for step in range(7)
        for moment in ("before", "after")
    ],
)
def test_a_restore_killed_around_any_of_its_own_marks_can_be_finished(
    cloud: Cloud, source: Address, spare: str, monkeypatch: pytest.MonkeyPatch, step: int, moment: str
) -> None:
    made = back_up(cloud, source)
    marks = [0]
    honest = load.Loader._did

    def die(self: load.Loader, name: str) -> None:
        mine, marks[0] = marks[0] == step, marks[0] + 1
        if mine and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        honest(self, name)
        if mine:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(load.Loader, "_did", die)
    killed = in_child(lambda: restore.run(cloud.store, made, source, spare, cloud.kms))
    monkeypatch.undo()
    if step >= len(made.archives) + 1:
        assert killed == 0
        return
    assert killed == -signal.SIGKILL
    assert restore.run(cloud.store, made, source, spare, cloud.kms).rows == made.rows


def test_what_a_killed_restore_still_has_at_work_in_the_target_is_ended_first(
    cloud: Cloud, source: Address, spare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = back_up(cloud, source)
    monkeypatch.setattr(load.Loader, "_rows", lambda self, archives: os.kill(os.getpid(), signal.SIGKILL))
    assert in_child(lambda: restore.run(cloud.store, made, source, spare, cloud.kms)) == -signal.SIGKILL
    monkeypatch.undo()
    with psycopg.connect(source.database(spare).url()) as left, left.cursor() as cursor:
        cursor.execute("begin")
        assert restore.run(cloud.store, made, source, spare, cloud.kms).rows == made.rows
        with pytest.raises(psycopg.OperationalError):
            cursor.execute("insert into tenants (name) values ('late')")
        left.close()


def test_a_program_dies_with_the_tool_that_started_it() -> None:
    reader, writer = os.pipe()

    def start() -> None:
        child = tools.Child(["sleep", "600"], {})
        os.write(writer, str(child.process.pid).encode())
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(start) == -signal.SIGKILL
    pid = int(os.read(reader, 20))
    wait_until(lambda: not runs(pid), "it is gone")
    os.close(reader)
    os.close(writer)


def runs(pid: int) -> bool:
    """A zombie that nobody waits for does not run any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
