"""Bad versions on the whole local system, under load: each is taken back by itself, weights first.

The same faults are in the small world of tests/infra/release/test_controller.py, in milliseconds; here Envoy,
the AWS API, the supervisor and the service's own processes are real. A version that fails with clients on it
fails some of their requests: none of the old version's, and none after the old weights are back.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.local import supervision
from infra.local.layout import Layout
from infra.release import verbs
from infra.release.fleet_local import LocalFleet
from infra.release.wiring import open_tool
from infra.stack.outputs import Colour
from tests.e2e.commands import SuperAgent
from tests.e2e.release_system import Inbox, System, half_broken, nobody_noticed, providers
from tests.infra.release.load import Tally
from tests.parts import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.soak, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    superagent = SuperAgent(tmp_path_factory.mktemp("bad-releases") / "home")
    try:
        yield System(superagent, json.loads(superagent.must("up", "--json"))["admin_key"])
    finally:
        superagent.run("down", "--purge")


@pytest.fixture(scope="module")
def inbox(system: System) -> Inbox:
    return Inbox(system)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a release ended for its operator and for the clients."""

    code: int
    said: str
    tally: Tally


def taken_back(system: System, inbox: Inbox, outcome: Outcome, words: str, before: dict[str, int]) -> None:
    """The promises about every bad version."""
    assert outcome.code == 1, outcome.said
    assert re.search(f"aborted: .*({words})", outcome.said), outcome.said
    assert system.live() == before
    lines = [entry["text"] for entry in system.journal()]
    failure = next(number for number, line in enumerate(lines) if re.search(f" failed: .*({words})", line))
    assert lines[failure].endswith("→ restore")
    assert lines[failure + 1] == "restore-weights …"
    assert not any(line.startswith("stop-new") for line in lines[:failure])
    told = inbox.take()
    assert told[-1]["phase"] == "aborted"
    assert re.search(words, told[-1]["reason"])
    status = system.status()
    assert status["owner"] == ""
    (idle,) = [one["colour"] for one in status["colours"] if not one["weight"]]
    assert not system.lives(idle)
    strangers = [one for one in outcome.tally.failures if any(f"from {old}" in one for old in before)]
    assert strangers == []


def nobody_fails_now(system: System) -> None:
    with system.load() as load:
        wait_until(lambda: sum(load.tally.answers.values()) > 60, "clients are served", 60)
        assert load.stop().failures == []


def pids(system: System, colour: str) -> list[int]:
    found = supervision.processes(Layout(system.superagent.home))
    return [one.pid for name, one in found.items() if name.startswith(f"{colour}-") and one.pid]


def idle_colour(system: System) -> str:
    (idle,) = [one["colour"] for one in system.status()["colours"] if not one["weight"]]
    return str(idle)


@contextmanager
def again_and_again(work: Callable[[], None]) -> Iterator[None]:
    """Do `work` five times a second meanwhile."""
    ending = threading.Event()

    def loop() -> None:
        while not ending.wait(0.2):
            work()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(10)


def started(system: System, version: str, phase: str, **environment: str) -> subprocess.Popen[str]:
    """A release that has come to a phase."""
    process = system.superagent.start(
        "release", "start", "--version", version, "--bake", "15s", **environment
    )
    system.in_phase(phase, process)
    return process


def test_healthy_then_500s(system: System, inbox: Inbox, tmp_path: Path) -> None:
    before = system.live()
    with system.load() as load:
        done = system.release(
            "start", "--version", "fails", "--bake", "15s", **half_broken(tmp_path, fail="overloaded")
        )
        outcome = Outcome(done.returncode, done.stderr, load.stop())
    taken_back(system, inbox, outcome, "answered with 5xx|provider calls broke", before)
    assert any("from fails" in one for one in outcome.tally.failures), "clients met the bad version"
    nobody_fails_now(system)


def test_five_times_slower(system: System, inbox: Inbox, tmp_path: Path) -> None:
    before = system.live()
    with system.load() as load:
        done = system.release(
            "start", "--version", "slow", "--bake", "15s", **half_broken(tmp_path, latency=0.6)
        )
        outcome = Outcome(done.returncode, done.stderr, load.stop())
    taken_back(system, inbox, outcome, r"p9[59] \d+ ms, old colour \d+ ms", before)
    nobody_noticed(outcome.tally)


def test_crashes_under_load(system: System, inbox: Inbox) -> None:
    before, new = system.live(), idle_colour(system)

    def crash() -> None:
        for pid in pids(system, new):
            with_pid(pid, signal.SIGKILL)

    with system.load() as load:
        process = started(system, "crashes", "bake")
        with again_and_again(crash):
            system.in_phase("restore", process)
        _, rest = process.communicate(timeout=200)
        outcome = Outcome(process.returncode, rest, load.stop())
    taken_back(system, inbox, outcome, "unhealthy|healthy target|5xx|broke", before)
    nobody_fails_now(system)


def test_never_healthy(system: System, inbox: Inbox) -> None:
    before, new = system.live(), idle_colour(system)
    with system.load() as load:
        process = started(system, "frozen", "settle")
        frozen = pids(system, new)
        assert len(frozen) == 2
        for pid in frozen:
            with_pid(pid, signal.SIGSTOP)
        try:
            system.in_phase("restore", process)
        finally:
            for pid in frozen:
                with_pid(pid, signal.SIGCONT)
        _, rest = process.communicate(timeout=200)
        outcome = Outcome(process.returncode, rest, load.stop())
    taken_back(system, inbox, outcome, "healthy", before)
    nobody_noticed(outcome.tally)
    assert set(outcome.tally.answers) == set(before)


def test_does_not_start(system: System, inbox: Inbox, tmp_path: Path) -> None:
    before, missing = system.live(), str(tmp_path / "none.json")
    with system.load() as load:
        done = system.release("start", "--version", "crash", SUPERAGENT_PROVIDERS_FILE=missing)
        outcome = Outcome(done.returncode, done.stderr, load.stop())
    taken_back(system, inbox, outcome, "none.json|healthy|start", before)
    nobody_noticed(outcome.tally)


def test_healthy_but_its_smoke_test_fails(system: System, inbox: Inbox, tmp_path: Path) -> None:
    before = system.live()
    with system.load() as load:
        broken = providers(tmp_path, fail="overloaded")
        done = system.release("start", "--version", "mute", SUPERAGENT_PROVIDERS_FILE=broken)
        outcome = Outcome(done.returncode, done.stderr, load.stop())
    taken_back(system, inbox, outcome, "smoke test: completes a chat: status 503", before)
    nobody_noticed(outcome.tally)
    assert set(outcome.tally.answers) == set(before)


class Mislabelled:
    """Slots that start another version than the one they were told to."""

    def __init__(self, slots: Any) -> None:
        self._slots = slots

    def __getattr__(self, name: str) -> Any:
        return getattr(self._slots, name)

    def start(self, colour: Colour, version: str) -> None:
        self._slots.start(colour, "yesterdays")


def test_the_wrong_version_answers(system: System, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    before = system.live()
    monkeypatch.setenv("SUPERAGENT_HOME", str(system.superagent.home))
    tool = open_tool("local")
    assert isinstance(tool.fleet, LocalFleet)
    tool.fleet = LocalFleet(Mislabelled(tool.fleet.slots), tool.fleet.images)
    with system.load() as load:
        run = verbs.begin(tool, verbs.propose(tool, "release", "todays", "todays", ""))
        ended = verbs.drive(tool, run, lambda run: None)
        outcome = Outcome(int(ended.phase != "succeeded"), f"{ended.phase}: {ended.reason}", load.stop())
    words = "the right version answers: header build is 'yesterdays', expected 'todays'"
    taken_back(system, inbox, outcome, words, before)
    nobody_noticed(outcome.tally)
    assert set(outcome.tally.answers) == set(before)


def with_pid(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
