"""The supervisor for real: parts start, come back after a kill, stop with their own signal, leave nothing."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from infra.errors import OperationFailed
from infra.local import orphans, supervision
from infra.local.layout import Layout
from infra.local.programs import Program
from tests.parts import wait_until

SLEEPER = (sys.executable, "-c", "import time; print('awake', flush=True); time.sleep(600)")


@pytest.fixture
def place(tmp_path: Path):
    place = Layout(tmp_path / "a folder with 100% odd name")
    place.make()
    yield place
    supervision.shutdown(place)


def sleeper(name: str = "sleeper", **environment: str) -> Program:
    return Program(name, SLEEPER, Path("/"), environment)


def test_a_killed_part_comes_back(place):
    supervision.launch(place)
    supervision.define([sleeper()], place)
    supervision.start("sleeper", place)
    first = supervision.processes(place)["sleeper"].pid
    os.kill(first, signal.SIGKILL)
    wait_until(
        lambda: (again := supervision.processes(place)["sleeper"]).state == "RUNNING" and again.pid != first,
        "the part is back",
    )


def test_a_part_that_ends_at_once_is_reported_with_its_last_line(place):
    supervision.launch(place)
    broken = (sys.executable, "-c", "raise SystemExit('no such luck')")
    supervision.define([Program("broken", broken, Path("/"))], place)
    with pytest.raises(OperationFailed, match=r"broken did not start.*no such luck"):
        supervision.start_all(["broken"], place, seconds=2)


def test_defining_again_leaves_an_unchanged_part_alone_and_replaces_a_changed_one(place):
    supervision.launch(place)
    supervision.define([sleeper("same"), sleeper("other")], place)
    supervision.start_all(["same", "other"], place)
    before = supervision.processes(place)
    assert supervision.define([sleeper("same"), sleeper("other", MOOD='50% "odd" one')], place) == ["other"]
    supervision.start_all(["same", "other"], place)
    after = supervision.processes(place)
    assert after["same"].pid == before["same"].pid
    assert after["other"].pid != before["other"].pid
    environ = Path(f"/proc/{after['other'].pid}/environ").read_bytes().split(b"\0")
    assert b'MOOD=50% "odd" one' in environ


def test_a_part_that_still_stops_is_started_again_when_it_is_gone(place):
    slow = "import signal, time; signal.signal(15, lambda *_: (time.sleep(0.5), exit())); signal.pause()"
    supervision.launch(place)
    supervision.define([Program("slow", (sys.executable, "-c", slow), Path("/"))], place)
    supervision.start("slow", place)
    first = supervision.processes(place)["slow"].pid
    supervision.signal_stop(["slow"], place)
    assert supervision.processes(place)["slow"].state == "STOPPING"
    supervision.start_all(["slow"], place, seconds=3)
    now = supervision.processes(place)["slow"]
    assert (now.state, now.pid != first) == ("RUNNING", True)


def test_parts_do_not_inherit_the_settings_of_the_callers_shell(place, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of a real account")
    monkeypatch.setenv("SUPERAGENT_HOME", "/elsewhere")
    supervision.launch(place)
    supervision.define([sleeper()], place)
    supervision.start("sleeper", place)
    environ = Path(f"/proc/{supervision.processes(place)['sleeper'].pid}/environ").read_bytes()
    assert b"AWS_SECRET" not in environ
    assert b"SUPERAGENT_HOME" not in environ


def test_parts_that_outlived_a_killed_supervisor_are_found_and_ended(place):
    supervision.launch(place)
    supervision.define([sleeper()], place)
    supervision.start("sleeper", place)
    pid = supervision.processes(place)["sleeper"].pid
    supervisor = int(supervision._rpc(place).getPID())
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: not supervision.alive(place), "the supervisor is gone")
    assert orphans.find(place) == [pid]
    supervision.launch(place)
    assert not orphans.lives(pid)


def test_a_socket_path_too_long_for_the_kernel_moves_to_a_short_folder(tmp_path):
    deep = Layout(tmp_path / ("x" * 120))
    deep.make()
    try:
        assert len(str(deep.socket)) < 107
        supervision.launch(deep)
        assert supervision.alive(deep)
    finally:
        supervision.shutdown(deep)
        deep.runtime.rmdir()
