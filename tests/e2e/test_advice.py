"""Advice on a loaded system: three planted bottlenecks are named, `--apply` makes its clients' requests
faster, and a killed adviser's change is ended by the next one.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import pytest

from infra.advise.tool import Tool, open_tool
from tests.e2e.commands import SuperAgent
from tests.parts import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.soak, pytest.mark.timeout(1500)]

PROVIDERS = {
    "providers": [
        {"name": "quick", "kind": "simulator", "models": ["lorem"], "options": {"latency": 0.03}},
        {"name": "sluggish", "kind": "simulator", "models": ["lorem"], "options": {"latency": 1.2}},
        {"name": "instant", "kind": "simulator", "models": ["echo"]},
    ]
}
LONG = "a b c d e f g h " * 3_000
"""A prompt whose tokens take a process some milliseconds to count: work of its own, none of a provider's."""
# model, prompt, seconds between two requests of a connection, connections
CLIENTS = (
    ("instant/echo", LONG, 0.0, 10),
    ("quick/lorem", "hello", 0.05, 3),
    ("sluggish/lorem", "hi", 0.5, 1),
)
DIFFERENT = 24
"""Prompts of a connection: they come again and again, as those of an application with temperature 0 do."""


@dataclass
class Load:
    """Clients that each wait for their answer before they ask again; (time, seconds) of every answer."""

    port: int
    key: str
    answers: list[tuple[float, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        for model, text, pause, connections in CLIENTS:
            bodies = [_body(model, f"{number} {text}") for number in range(DIFFERENT)]
            for _ in range(connections):
                thread = threading.Thread(target=self._work, args=(bodies, pause), daemon=True)
                thread.start()
                self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def p95(self, since: float) -> float:
        """Of the answers since a moment (epoch seconds)."""
        found = [seconds for at, seconds in list(self.answers) if at >= since]
        assert len(found) > 100
        return quantiles(found, n=20)[-1]

    def _work(self, bodies: list[bytes], pause: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        number = 0
        while not self._stop.is_set():
            began = time.time()
            try:
                connection.request("POST", "/v1/chat/completions", bodies[number % DIFFERENT], headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    self.failures.append(f"status {answer.status}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            self.answers.append((time.time(), time.time() - began))
            number += 1
            self._stop.wait(pause)
        connection.close()


def _body(model: str, text: str) -> bytes:
    asked = {"model": model, "temperature": 0, "messages": [{"role": "user", "content": text}]}
    return json.dumps(asked).encode()


@dataclass
class System:
    superagent: SuperAgent
    key: str
    tool: Tool

    def load(self) -> Load:
        return Load(self.superagent.ports()["api"], self.key)

    def advise(self, *words: str, code: int | None = 0, seconds: float = 600) -> tuple[dict[str, Any], str]:
        """Answer and what was said; `code` `None` takes 0 and 1."""
        done = self.superagent.run("advise", *words, "--json", seconds=seconds)
        assert done.returncode in ((0, 1) if code is None else (code,)), f"{done.stderr}\n{done.stdout}"
        return (json.loads(done.stdout) if done.stdout else {}), done.stderr

    def cache_seconds(self) -> int:
        return self.tool.settings.read()["cache_seconds"].value


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("advice")
    providers: Path = folder / "providers.json"
    providers.write_text(json.dumps(PROVIDERS))
    superagent = SuperAgent(folder / "home")
    before = os.environ.get("SUPERAGENT_HOME")
    try:
        up = superagent.must("up", "--json", SUPERAGENT_PROVIDERS_FILE=str(providers))
        os.environ["SUPERAGENT_HOME"] = str(superagent.home)
        yield System(superagent, json.loads(up)["admin_key"], open_tool("local"))
    finally:
        os.environ.pop("SUPERAGENT_HOME")
        if before is not None:
            os.environ["SUPERAGENT_HOME"] = before
        superagent.run("down", "--purge")


def test_without_traffic_it_says_so_and_ends_with_1(system: System) -> None:
    told, said = system.advise("--since", "1m", code=1)
    assert told == {}
    assert "nothing to judge by" in said


def test_three_planted_bottlenecks_are_named_and_apply_makes_it_faster(system: System) -> None:
    live = system.tool.live()
    assert live is not None
    system.tool.fleet.resize(live, 1)
    system.tool.settings.put("cache_seconds", 0)
    with system.load() as load:
        began = time.time()
        wait_until(lambda: time.time() - began > 80, "a minute of metrics is there", 120)
        told, _ = system.advise("--since", "75s")
        named = {one["kind"]: one for one in told["bottlenecks"]}
        assert {"slow_provider", "saturated", "cache_off"} <= set(named), told["bottlenecks"]
        assert named["slow_provider"]["subject"] == "sluggish"
        assert all(one["evidence"] for one in named.values())
        for one in told["bottlenecks"]:
            print(f"\n{one['summary']}", *one["evidence"], sep="\n  ")
        before = load.p95(time.time() - 45)
        told, said = system.advise("--apply", "--since", "75s", code=None)
        after = load.p95(time.time() - 45)
        print(f"\nclients' p95: {before * 1000:.0f} ms before, {after * 1000:.0f} ms after\n{said}")
        print(system.superagent.must("advise", "history", "--since", "15m"))
        print(system.superagent.must("advise", "--since", "75s"))
    changes = {one["action"]["target"]: one for one in told["applied"]}
    assert changes["cache_seconds"]["phase"] == "kept"
    assert system.cache_seconds() == 3600
    # More processes help as far as this machine has CPU for them; if they do not, they go again.
    scaled = changes[live]
    assert system.tool.fleet.capacity(live).desired == (2 if scaled["phase"] == "kept" else 1)
    assert after < 0.7 * before
    assert load.failures == []


def test_a_killed_advisers_change_is_ended_by_the_next(system: System) -> None:
    system.tool.settings.put("cache_seconds", 0)
    with system.load():
        began = time.time()
        wait_until(lambda: time.time() - began > 75, "a minute of metrics is there", 120)
        first = system.superagent.start("advise", "--apply", "--since", "60s")
        assert first.stderr is not None
        said: list[str] = []
        for line in first.stderr:
            said.append(line)
            if "set cache_seconds" in "".join(said) and "in force" in line:
                break
        os.kill(first.pid, signal.SIGKILL)
        first.wait(10)
        assert system.cache_seconds() == 3600, said
        waiting = system.tool.journal.unfinished()
        assert waiting is not None and waiting.phase == "watching"
        done: list[Any] = []

        def ended() -> bool:  # the dead one's lease runs out after three quarters of a minute
            found = system.superagent.run("advise", "--apply", "--since", "60s", seconds=600)
            done.append(found)
            return found.returncode != 2

        wait_until(ended, "the lease is free", 120)
    assert "Going on with what was begun" in done[-1].stderr
    assert system.tool.journal.unfinished() is None
    newest = next(one for one in system.tool.journal.changes() if one.change_id == waiting.change_id)
    assert newest.ended
    assert system.cache_seconds() == (3600 if newest.phase == "kept" else 0)
