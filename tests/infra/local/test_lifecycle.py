"""`up` that does not reach its end leaves nothing behind."""

from __future__ import annotations

import os
import signal

import pytest

from infra.local import orphans
from infra.local.layout import Layout
from tests.e2e.commands import SuperAgent
from tests.parts import wait_until

pytestmark = [pytest.mark.component, pytest.mark.timeout(400)]


@pytest.fixture
def superagent(tmp_path):
    one = SuperAgent(tmp_path / "home")
    yield one
    one.run("down", "--purge")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_first_up_leaves_no_file_and_no_process(superagent, name):
    place = Layout(superagent.home)
    process = superagent.start("up")
    wait_until(lambda: (place.data / "postgres").exists(), "Postgres has its folder", 60)
    process.send_signal(getattr(signal, name))
    try:
        _, complaint = process.communicate(timeout=120)
    finally:
        process.kill()  # an `up` that goes on would keep the state folder from being purged
    assert process.returncode == 130, complaint
    assert "Interrupted" in complaint
    assert not place.root.exists()
    assert orphans.find(place) == []


def test_a_failed_first_up_stops_what_it_started_removes_its_data_and_keeps_the_logs(superagent, tmp_path):
    place = Layout(superagent.home)
    providers = tmp_path / "providers.json"
    providers.write_text("this is no JSON")
    done = superagent.run("up", SUPERAGENT_PROVIDERS_FILE=str(providers))
    assert done.returncode == 1
    assert "blue-" in done.stderr
    assert [entry.name for entry in place.root.iterdir()] == ["logs"]
    assert orphans.find(place) == []


def test_an_up_that_was_killed_is_finished_by_the_next_one(superagent):
    place = Layout(superagent.home)
    process = superagent.start("up")
    wait_until(lambda: (place.data / "postgres").exists(), "Postgres has its folder", 60)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    superagent.must("up")
    superagent.must("status")


def test_an_optional_part_that_does_not_work_is_left_out_with_one_line(superagent, tmp_path):
    broken = tmp_path / "bin" / "prometheus-redis-exporter"
    broken.parent.mkdir()
    broken.write_text(
        '#!/bin/sh\ntest "$1" = --version && echo version 1.45.0 && exit\necho broken; exit 1\n'
    )
    broken.chmod(0o755)
    done = superagent.run("up", PATH=f"{broken.parent}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("! redis_exporter")]) == 1
    assert superagent.parts()["redis_exporter"]["state"] == "STOPPED"
    assert superagent.run("status").returncode == 0
