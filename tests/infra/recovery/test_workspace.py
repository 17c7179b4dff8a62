"""A temporary folder goes with its process, and after a kill with the next one."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from infra.recovery import workspace
from tests.infra.recovery.killing import in_child


def left(parent: Path) -> list[Path]:
    return list(parent.glob("superagent-*"))


def killed_inside(parent: Path) -> None:
    with workspace.folder("restore", parent) as folder:
        (folder / "data").mkdir()
        (folder / "data" / "schema.dump").write_bytes(b"x" * 1000)
        os.kill(os.getpid(), signal.SIGKILL)


def test_nothing_is_left_by_an_end_or_by_a_failure(tmp_path: Path) -> None:
    with workspace.folder("restore", tmp_path) as folder:
        assert left(tmp_path) == [folder]
    with pytest.raises(ValueError, match="on purpose"), workspace.folder("restore", tmp_path) as folder:
        (folder / "schema.dump").write_bytes(b"x")
        raise ValueError("on purpose")
    assert left(tmp_path) == []


def test_what_a_killed_process_left_goes_with_the_next_one(tmp_path: Path) -> None:
    assert in_child(lambda: killed_inside(tmp_path)) == -signal.SIGKILL
    (abandoned,) = left(tmp_path)
    with workspace.folder("drill", tmp_path):
        assert abandoned.exists(), "another purpose is another's business"
    with workspace.folder("restore", tmp_path) as mine:
        assert left(tmp_path) == [mine]


def test_the_folder_of_a_process_that_lives_stays(tmp_path: Path) -> None:
    with workspace.folder("restore", tmp_path) as mine:
        in_child(lambda: workspace.sweep("restore", tmp_path))
        assert mine.exists()


def test_a_folder_that_has_no_lock_yet_is_given_time(tmp_path: Path) -> None:
    made = tmp_path / "superagent-restore-x"
    made.mkdir()
    workspace.sweep("restore", tmp_path)
    assert made.exists()
    long_ago = time.time() - 2 * workspace.YOUNG_SECONDS
    os.utime(made, (long_ago, long_ago))
    workspace.sweep("restore", tmp_path)
    assert not made.exists()


def test_what_somebody_put_into_a_folder_of_such_a_name_stays(tmp_path: Path) -> None:
    theirs = tmp_path / "superagent-restore-of-last-week"
    theirs.mkdir()
    (theirs / "notes").touch()
    long_ago = time.time() - 2 * workspace.YOUNG_SECONDS
    os.utime(theirs, (long_ago, long_ago))
    workspace.sweep("restore", tmp_path)
    assert (theirs / "notes").exists()


def test_a_folder_swept_in_the_instant_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, swept = fcntl.flock, []

    def late(file: Any, operation: int) -> None:
        if operation == fcntl.LOCK_EX and not swept:
            swept.extend(left(tmp_path))
            in_child(lambda: workspace.sweep("restore", tmp_path))
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with workspace.folder("restore", tmp_path) as mine:
        assert swept and not swept[0].exists()
        assert left(tmp_path) == [mine]
        in_child(lambda: workspace.sweep("restore", tmp_path))
        assert mine.exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / workspace.LOCK).touch()
    (tmp_path / "superagent-restore-link").symlink_to(precious)
    workspace.sweep("restore", tmp_path)
    assert (precious / workspace.LOCK).exists()
