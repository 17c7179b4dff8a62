"""The whole system as a newcomer meets it, from the first `up` to `down --purge`. In this order."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import openai
import pytest

from infra.local import orphans
from infra.local.layout import Layout
from tests.e2e.commands import SuperAgent
from tests.e2e.traffic import Load

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

KILLED = ("postgres", "valkey", "aws", "alb", "envoy", "blue-1", "prometheus", "node_exporter")


@dataclass(frozen=True, slots=True)
class Running:
    """A system that `up` brought to life, and what it said."""

    superagent: SuperAgent
    said: str

    def found(self, pattern: str) -> str:
        match = re.search(pattern, self.said)
        assert match, f"{pattern} is not in:\n{self.said}"
        return match[1]

    @property
    def url(self) -> str:
        return self.found(r"API +(http://\S+)")

    @property
    def key(self) -> str:
        return self.found(r"Admin key +(\S+)")

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.key, max_retries=0, timeout=30)

    def ask(self, text: str) -> str | None:
        answer = self.client().chat.completions.create(
            model="echo", messages=[{"role": "user", "content": text}]
        )
        return answer.choices[0].message.content


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    superagent = SuperAgent(tmp_path_factory.mktemp("e2e") / "home")
    try:
        yield Running(superagent, superagent.must("up"))
    finally:
        superagent.run("down", "--purge")


def test_up_ends_with_urls_and_a_line_that_works_when_pasted(running):
    line = running.found(r"(?m)^ +(curl http.*)$")
    done = subprocess.run(["bash", "-c", f"{line} -sS -i"], capture_output=True, text=True, timeout=30)
    assert done.stdout.startswith("HTTP/1.1 200"), done.stdout + done.stderr
    assert re.search(r"(?mi)^build: v1\r?$", done.stdout)
    assert json.loads(done.stdout.splitlines()[-1])["choices"][0]["message"]["content"] == "Hello"
    assert running.found(r"Metrics +(http://\S+)")
    assert httpx.get(running.found(r"Console +(http://\S+)"), timeout=10).text.startswith("<!doctype html>")


def test_the_official_client_completes_and_streams(running):
    assert running.ask("ping") == "ping"
    stream = running.client().chat.completions.create(
        model="lorem;tokens=12", messages=[{"role": "user", "content": "x"}], stream=True
    )
    pieces = [chunk.choices[0].delta.content for chunk in stream if chunk.choices]
    assert len([piece for piece in pieces if piece]) > 3


def test_every_part_is_healthy_with_pid_port_and_version(running):
    parts = running.superagent.parts()
    running.superagent.must("status")
    for name in ("postgres", "valkey", "aws", "envoy", "blue-1", "blue-2"):
        assert parts[name]["healthy"], parts[name]
        assert parts[name]["pid"] and parts[name]["port"] and parts[name]["version"], parts[name]


def test_every_process_can_be_found_without_the_supervisor(running):
    pids = {name: part["pid"] for name, part in running.superagent.parts().items() if part["pid"]}
    found = set(orphans.find(Layout(running.superagent.home)))
    assert {name for name, pid in pids.items() if pid not in found} == set()


def test_a_second_up_changes_nothing(running):
    before = {name: part["pid"] for name, part in running.superagent.parts().items()}
    said = running.superagent.must("up")
    assert "shown at the first start" in said
    assert {name: part["pid"] for name, part in running.superagent.parts().items()} == before


def test_a_second_system_stands_beside_the_first(running, tmp_path):
    """Another checkout chooses other ports without being told, and takes nothing with it when it goes.

    Its first `up` is typed twice at once: one starts everything, the other says so and touches nothing.
    """
    other = SuperAgent(tmp_path / "other")
    try:
        twice = [other.start("up", "--json"), other.start("up", "--json")]
        answers = [(*process.communicate(timeout=110), process.returncode) for process in twice]
        (output, _, _), (_, complaint, code) = sorted(answers, key=lambda answer: answer[2])
        assert (code, "works on" in complaint) == (2, True), answers
        said = json.loads(output)
        assert not set(said["ports"].values()) & set(running.superagent.ports().values())
        assert said["admin_key"] != running.key
    finally:
        other.must("down", "--purge")
    assert running.ask("still here") == "still here"


@pytest.mark.parametrize("name", KILLED)
def test_a_killed_part_is_back_and_healthy_by_itself(running, name):
    before = running.superagent.parts()[name]
    if before["state"] == "MISSING":
        pytest.skip(f"{name} could not be had on this machine")
    os.kill(before["pid"], signal.SIGKILL)
    running.superagent.wait(
        lambda parts: parts[name]["pid"] not in (None, before["pid"]) and parts[name]["healthy"],
        f"{name} is back",
    )
    assert running.ask(name) == name


def test_status_tells_the_truth_about_a_part_that_hangs(running):
    """A stopped process is still running for the supervisor; only asking the part shows it."""
    pid = running.superagent.parts()["valkey"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        done = running.superagent.run("status", "--json")
        valkey = next(one for one in json.loads(done.stdout) if one["part"] == "valkey")
        assert (done.returncode, valkey["healthy"], valkey["pid"]) == (1, False, pid)
    finally:
        os.kill(pid, signal.SIGCONT)
    running.superagent.wait(lambda parts: parts["valkey"]["healthy"], "valkey goes on")


def test_a_release_under_load_loses_no_request_and_breaks_no_stream(running, tmp_path):
    port = running.superagent.ports()["api"]
    with Load(port, running.key, tmp_path) as load:
        done = running.superagent.run("release", "start", "--version", "v2", seconds=200)
        assert done.returncode == 0, done.stderr + done.stdout
    assert load.failures == {}
    assert load.answered["whole"] > 100
    assert load.answered["stream"] > 10
    assert set(load.builds) == {"v1", "v2"}
    assert set(load.builds[-20:]) == {"v2"}


def test_the_data_the_ports_and_the_release_survive_down_and_up(running):
    ports = running.superagent.ports()
    running.superagent.must("down")
    assert orphans.find(Layout(running.superagent.home)) == []
    said = running.superagent.must("up", "--json")
    assert json.loads(said)["versions"] == {"green": "v2"}
    assert running.superagent.ports() == ports
    assert running.ask("the key still works") == "the key still works"


def test_a_down_that_was_interrupted_is_finished_by_the_next(running):
    process = running.superagent.start("down")
    running.superagent.wait(
        lambda parts: process.poll() is not None or any(not part["healthy"] for part in parts.values()),
        "down has begun",
    )
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=110)
    assert process.returncode == 0 or (process.returncode, "down` again" in complaint) == (130, True)
    running.superagent.run("down")
    assert orphans.find(Layout(running.superagent.home)) == []
    running.superagent.must("up")
    assert running.ask("after that") == "after that"


def test_everything_is_back_by_itself_after_the_supervisor_was_killed(running):
    place = Layout(running.superagent.home)
    before = running.superagent.parts()["postgres"]["pid"]
    os.kill(int((place.runtime / "supervisor.pid").read_text()), signal.SIGKILL)
    running.superagent.wait(
        lambda parts: (
            parts["postgres"]["pid"] not in (None, before)
            and all(part["healthy"] for part in parts.values() if part["needed"])
        ),
        "everything is back",
    )
    assert running.ask("again") == "again"


def test_up_mends_a_system_whose_supervisor_and_keeper_were_killed(running):
    place = Layout(running.superagent.home)
    os.kill(running.superagent.parts()["keeper"]["pid"], signal.SIGSTOP)
    os.kill(int((place.runtime / "supervisor.pid").read_text()), signal.SIGKILL)
    parts = running.superagent.parts()
    assert {part["state"] for name, part in parts.items() if part["needed"]} == {"DOWN"}
    running.superagent.must("up")
    assert running.ask("and again") == "and again"


def test_inner_ports_that_others_took_meanwhile_move(running):
    running.superagent.must("down")
    before = running.superagent.ports()
    with contextlib.ExitStack() as taken:
        for name, address in (("service", "127.0.0.21"), ("valkey", "127.0.0.1"), ("aws", "127.0.0.1")):
            sock = taken.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the last run's connections linger
            sock.bind((address, before[name]))
            sock.listen()
        said = json.loads(running.superagent.must("up", "--json"))
    changed = {name for name, port in said["ports"].items() if port != before[name]}
    assert changed == {"service", "valkey", "aws"}
    assert said["versions"] == {"green": "v2"}
    assert running.ask("moved") == "moved"


def test_purge_leaves_no_file_and_no_process(running):
    place = Layout(running.superagent.home)
    running.superagent.must("down", "--purge")
    assert not place.root.exists()
    assert not place.runtime.exists()
    assert orphans.find(place) == []
    assert _mentioning(place.root) == []


def _mentioning(folder: Path) -> list[str]:
    """Command lines of living processes that name a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(folder) in line:
                found.append(line)
    return found
