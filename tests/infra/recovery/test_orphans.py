"""A command that is killed leaves no server behind: it would hold memory, a port and its folder for ever."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from infra.local import postgres
from infra.recovery import drill, redis_backup, scratch
from infra.recovery.database import Address, hold_snapshot, join_snapshot
from tests.infra.recovery.killing import in_child
from tests.infra.recovery.test_restore_killed import runs
from tests.parts import wait_until

pytestmark = pytest.mark.component
SERVERS: dict[str, Callable[[Path], AbstractContextManager[object]]] = {
    "postgres of a drill": lambda folder: scratch.server_of(17, folder),
    "valkey of a drill": lambda folder: drill._valkey(),
    "valkey of a restore": redis_backup._server,
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_ends_with_the_command_that_started_it(tmp_path: Path, name: str) -> None:
    tmp_path.chmod(0o755)
    postgres.identity()  # asked before: the child that asks is no server
    started = children_of(lambda: SERVERS[name](tmp_path))
    assert started
    wait_until(lambda: not any(runs(pid) for pid in started), f"{started} are gone")


def children_of(server: Callable[[], AbstractContextManager[object]]) -> list[int]:
    """Processes that a command had when it was killed in the middle of its work."""
    reader, writer = os.pipe()

    def start() -> None:
        with server():
            mine = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
            os.write(writer, mine.encode())
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(start) == -signal.SIGKILL
    os.close(writer)
    with closing(os.fdopen(reader)) as told:
        return [int(pid) for pid in told.read().split()]


def test_what_a_killed_backup_asked_for_does_not_go_on_in_the_server(source: Address) -> None:
    """Its lock on the table would hold up the next migration, and whoever comes behind that."""
    mine = "select count(*) from pg_stat_activity where query = 'select pg_sleep(600)' and datname = %s"

    def asked() -> int:
        with source.connect() as connection:
            row = connection.execute(mine, (source.name,)).fetchone()
            return int(row[0]) if row else 0

    def read() -> None:
        with hold_snapshot(source) as snapshot, join_snapshot(source, snapshot.id) as connection:
            connection.execute("select pg_sleep(600)")

    def start() -> None:
        threading.Thread(target=read, daemon=True).start()
        wait_until(lambda: asked() == 1, "it is asked for")
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(start) == -signal.SIGKILL
    wait_until(lambda: asked() == 0, "the server noticed")
