"""`--dry-run` of `up` and `down`, and what `status` sees of parts that answer no request."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.local import health
from infra.local.alb import REPORTED
from infra.local.layout import Layout
from tests.infra.local.test_bad_input import nothing_started, refused, superagent


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def test_up_dry_run_names_parts_versions_and_ports_and_starts_nothing(home):
    done = superagent(home, "up", "--version", "v7", "--dry-run", "--json")
    found = json.loads(done.stdout)
    assert (found["runs"], found["first"], found["versions"]) == (False, True, {"blue": "v7"})
    postgres = next(part for part in found["parts"] if part["part"] == "postgres")
    assert Path(postgres["path"]).exists() and postgres["version"].startswith("17")
    nothing_started(home)


def test_up_dry_run_refuses_what_up_would_refuse(home):
    refused(superagent(home, "up", "--dry-run", "--version", "no good"), "--version is 'no good'")
    home.mkdir()
    (home / "state.json").write_text("{")
    refused(superagent(home, "up", "--dry-run"), "state.json cannot be used")


def test_down_dry_run_counts_what_it_would_remove_and_keeps_it(home):
    home.mkdir()
    (home / "kept").write_bytes(bytes(2_000_000))
    found = json.loads(superagent(home, "down", "--purge", "--dry-run", "--json").stdout)
    assert (found["removes"], found["bytes"], found["stops"]) == (True, 2_000_000, {})
    assert "would stay" in superagent(home, "down", "--dry-run").stdout
    assert (home / "kept").exists()


def test_json_of_down_needs_a_dry_run(home):
    refused(superagent(home, "down", "--json"), "--dry-run")


def test_a_held_process_is_not_healthy():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert health.process_problem(process.pid) == ""
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert "stopped" in health.process_problem(process.pid)
    finally:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert "ended" in health.process_problem(process.pid)
        process.wait()
    assert "gone" in health.process_problem(process.pid)


def test_a_load_balancer_that_reports_no_more_is_not_healthy(home):
    place = Layout(home)
    beat = place.conf / "alb" / REPORTED
    assert "not reported" in health.problem("alb", place, {})
    beat.parent.mkdir(parents=True)
    beat.touch()
    assert health.problem("alb", place, {}) == ""
    long_ago = time.time() - health.SILENCE_SECONDS - 5
    os.utime(beat, (long_ago, long_ago))
    assert "no report to the AWS API for" in health.problem("alb", place, {})
