"""Releases of the whole system under load: bad versions, a killed controller, meddling operators.

Whatever happens to the release, the clients must not notice: no request fails, no stream breaks.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.commands import SuperAgent
from tests.e2e.release_system import System, nobody_noticed, providers

RELEASES = 20
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    superagent = SuperAgent(tmp_path_factory.mktemp("releases") / "home")
    try:
        yield System(superagent, json.loads(superagent.must("up", "--json"))["admin_key"])
    finally:
        superagent.run("down", "--purge")


@pytest.mark.parametrize(
    "phase",
    # test_crash.py dies at every call; here a few deaths are real, and most of them wait for `make soak`.
    ["bake", *(pytest.param(phase, marks=pytest.mark.soak) for phase in ("launch", "linger", "retire"))],
)
def test_kill_9_of_the_controller_under_load_and_resume(system: System, phase: str) -> None:
    version = f"after-{phase}"
    with system.load() as load:
        process = system.superagent.start("release", "start", "--version", version)
        try:
            system.in_phase(phase, process)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
        resumed = system.release("resume")
        assert resumed.returncode == 0, resumed.stderr
        tally = load.stop()
    nobody_noticed(tally)
    assert system.live() == {version: 100}


@pytest.mark.soak
def test_a_slow_version_is_aborted(system: System, tmp_path: Path) -> None:
    before = system.live()
    with system.load() as load:
        slow = providers(tmp_path, latency=0.6)
        done = system.release("start", "--version", "slow", "--bake", "6s", SUPERAGENT_PROVIDERS_FILE=slow)
        tally = load.stop()
    assert done.returncode == 1, done.stdout
    assert re.search(r"aborted: p9[59] \d+ ms, old colour \d+ ms", done.stderr), done.stderr
    nobody_noticed(tally)
    assert system.live() == before


def test_a_version_that_cannot_answer_is_aborted_before_it_gets_traffic(
    system: System, tmp_path: Path
) -> None:
    before = system.live()
    with system.load() as load:
        broken = providers(tmp_path, fail="overloaded")
        done = system.release("start", "--version", "broken", SUPERAGENT_PROVIDERS_FILE=broken)
        tally = load.stop()
    assert done.returncode == 1
    assert "aborted: smoke test: completes a chat: status 503" in done.stderr
    nobody_noticed(tally)
    assert set(tally.answers) == set(before)


@pytest.mark.soak
def test_a_version_that_does_not_start_is_aborted(system: System, tmp_path: Path) -> None:
    before = system.live()
    missing = str(tmp_path / "none.json")
    done = system.release("start", "--version", "crashes", SUPERAGENT_PROVIDERS_FILE=missing)
    assert done.returncode == 1
    assert "aborted" in done.stderr
    assert system.live() == before


@pytest.mark.soak
def test_weights_changed_by_hand_stop_a_release_that_resume_then_finishes(system: System) -> None:
    outputs, elb = system.outputs(), system.aws("elbv2")
    groups = outputs["target_group_arns"]
    with system.load() as load:
        process = system.superagent.start("release", "start", "--version", "meddled", "--bake", "10s")
        system.in_phase("bake", process)
        forward = {"TargetGroups": [{"TargetGroupArn": arn, "Weight": 50} for arn in groups.values()]}
        elb.modify_listener(
            ListenerArn=outputs["listener_arn"],
            DefaultActions=[{"Type": "forward", "ForwardConfig": forward}],
        )
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "somebody changed them by hand" in said
        assert set(system.live().values()) == {50}
        resumed = system.release("resume")
        assert resumed.returncode == 0, resumed.stderr
        tally = load.stop()
    nobody_noticed(tally)
    assert system.live() == {"meddled": 100}


def test_abort_from_another_terminal_gives_the_traffic_back(system: System) -> None:
    before = system.live()
    with system.load() as load:
        process = system.superagent.start("release", "start", "--version", "unloved", "--bake", "30s")
        system.in_phase("bake", process)
        asked = system.release("abort", "--reason", "odd answers")
        assert asked.returncode == 0, asked.stderr
        _, said = process.communicate(timeout=60)
        tally = load.stop()
    assert process.returncode == 1
    assert "odd answers" in said
    nobody_noticed(tally)
    assert system.live() == before


def test_two_operators_at_once_one_releases_and_one_is_told(system: System) -> None:
    both = [
        system.superagent.start("release", "start", "--version", f"from-{who}") for who in ("alice", "bob")
    ]
    said = [process.communicate(timeout=120)[1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 2], said
    loser = said[codes.index(2)]
    assert "holds the release lease" in loser or "has not ended" in loser


@pytest.mark.soak
def test_rollback_after_the_window_brings_the_version_before(system: System) -> None:
    before = system.live()
    done = system.release("start", "--version", "regretted")
    assert done.returncode == 0, done.stderr
    assert system.live() == {"regretted": 100}
    done = system.release("rollback", "--reason", "customers complain")
    assert done.returncode == 0, done.stderr
    assert system.live() == before


@pytest.mark.soak
@pytest.mark.timeout(3_600)  # ten minutes on a quiet machine
def test_twenty_releases_in_a_row_under_load_with_long_streams(
    system: System, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ends at the first release in which a request failed; each one tells how it went while it runs."""
    log = tmp_path / "failed-requests.log"
    with system.load(clients=6, streamers=6, stream_seconds=10.0, log=log) as load:
        for number in range(RELEASES):
            load.stage = f"release {number} of {RELEASES}"
            began = time.monotonic()
            done = system.release("start", "--version", f"soak-{number}", "--bake", "1s", "--steps", "50,100")
            with capfd.disabled():
                print(f"\n{load.stage}: {time.monotonic() - began:.1f} s; {load.tally.told()}", flush=True)
            assert done.returncode == 0, f"{load.stage}: {done.stderr}"
            assert load.tally.failures == [], f"seen in {load.stage}; kept in {log}"
        load.stage = "after the last release"
        tally = load.stop()
    nobody_noticed(tally)
    assert {f"soak-{number}" for number in range(RELEASES)} <= set(tally.answers)
    assert system.live() == {f"soak-{RELEASES - 1}": 100}
    status = system.status()
    assert status["owner"] == ""
    (carrying,) = [one["colour"] for one in status["colours"] if one["weight"]]
    assert system.lives(carrying)
    assert not system.lives("green" if carrying == "blue" else "blue")
