"""`superagent advise` as a person types it: what it prints, what it changes, and how it ends."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infra.advise import commands, tool
from infra.advise.change import plan
from infra.advise.tool import Tool
from infra.errors import OperationFailed, UserError
from infra.release.journal import Journal
from infra.release.router import Routing
from infra.release.source_prometheus import StoreDown
from infra.release.state import Run
from tests.infra.advise.test_apply import CACHE, PACE, Table, World, table
from tests.infra.advise.test_observe import Row, row

__all__ = ["table"]
HTTP = {"method": "POST", "path": "/v1/chat/completions"}


@dataclass
class Metrics:
    """A store that follows the world: requests take `slow` seconds, or `fast` with the cache on."""

    world: World
    slow: float = 0.9
    fast: float = 0.05
    requests: float = 300.0
    down: bool = False
    url: str = "http://127.0.0.1:9"

    def query(self, expression: str, at: float) -> list[Row]:
        if self.down:
            raise StoreDown(f"{self.url}: it answered 503")
        n = self.requests
        if not n and "timestamp(" not in expression:
            return []
        if "timestamp(" in expression:
            return [row(at - 3000)]
        if "http_requests_total" in expression:
            return [] if "status=~" in expression else [row(n, **HTTP, status="200")]
        if "http_request_duration_seconds_bucket" in expression:
            edge = self.fast if self.world.settings["cache_seconds"] else self.slow
            counted = [row(n if upto >= edge else 0, **HTTP, le=str(upto)) for upto in (0.05, 0.1, 1.0)]
            return [*counted, row(n, **HTTP, le="+Inf")]
        if "duration_seconds_sum" in expression and "http" in expression:
            return [row(n * self.slow, **HTTP)]
        return []


class Traffic:
    def read(self) -> Routing:
        return Routing({"blue": 100, "green": 0}, False, 1)

    def healthy(self, colour: str) -> int:
        return 2


class Releases(Journal):
    def __init__(self, run: Any = None) -> None:
        self.run = run

    def current(self) -> Run | None:
        found: Run | None = self.run
        return found


@dataclass
class Typed:
    tool: Tool
    metrics: Metrics
    world: World

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(commands.advise, list(words))


@pytest.fixture
def advise(table: Table, monkeypatch: pytest.MonkeyPatch) -> Typed:
    world = table.world
    metrics = Metrics(world)
    tool = Tool(
        environment="local", pace=PACE, clock=world, store=metrics, fleet=world, router=Traffic(),
        settings=world, journal=table.journal(), releases=Releases(), lease=table.lease("me"),
    )  # type: ignore[arg-type]  # fmt: skip
    monkeypatch.setattr(commands, "open_tool", lambda stack, watch=None: tool)
    return Typed(tool, metrics, world)


def test_it_names_what_it_found_and_changes_nothing(advise: Typed) -> None:
    done = advise()
    assert done.exit_code == 0, done.output
    assert "the response cache is off" in done.output
    assert "POST /v1/chat/completions" in done.output
    assert "--apply does it" in done.output
    assert advise.world.settings == {"cache_seconds": 0}


def test_json_is_one_document_without_infinities(advise: Typed) -> None:
    told = json.loads(advise("--json").stdout, parse_constant=pytest.fail)
    assert told["bottlenecks"][0]["kind"] == "cache_off"
    assert told["recommendations"][0]["action"]["after"] == 3600
    assert told["observed"]["endpoints"][0]["times"]["p95"] == pytest.approx(0.955)


def test_dry_run_says_what_apply_would_do(advise: Typed) -> None:
    done = advise("--apply", "--dry-run")
    assert done.exit_code == 0
    assert "would set cache_seconds from 0 to 3600" in done.output
    assert advise.world.settings == {"cache_seconds": 0}
    assert advise.tool.journal.changes() == []


def test_apply_makes_it_faster_and_history_shows_the_effect(advise: Typed) -> None:
    done = advise("--apply", "--json")
    assert done.exit_code == 0, done.output
    (applied,) = json.loads(done.stdout)["applied"]
    assert (applied["phase"], applied["effect"]["verdict"]) == ("kept", "better")
    assert advise.world.settings == {"cache_seconds": 3600}
    told = json.loads(advise("history", "--json").stdout)
    assert told["changes"][0]["text"] == "set cache_seconds from 0 to 3600"
    assert told["changes"][0]["effect_now"]["verdict"] == "better"
    assert told["trend"]["direction"] == "steady"
    shown = advise("history").output
    assert "kept" in shown and "steady" in shown
    again = advise("--apply")
    assert again.exit_code == 0
    assert "Nothing to apply" in again.output


def test_what_makes_it_worse_is_taken_back_and_ends_with_1(advise: Typed) -> None:
    advise.metrics.slow, advise.metrics.fast = 0.05, 0.9
    done = advise("--apply")
    assert done.exit_code == 1
    assert "was taken back" in done.output
    assert advise.world.settings == {"cache_seconds": 0}
    assert advise.tool.lease.holder() is None


@pytest.mark.parametrize(("call", "words"), [("read", ()), ("put", ("--apply",))])
def test_what_a_service_answers_is_told_word_for_word(
    advise: Typed, monkeypatch: pytest.MonkeyPatch, call: str, words: tuple[str, ...]
) -> None:
    """A bracket in it is no markup: it may not end the report, nor the taking back of a change."""

    def refuses(*_: object) -> None:
        raise OperationFailed("The service's settings: it answered 403. [/hover] [bold]")

    monkeypatch.setattr(type(advise.world), call, refuses)
    done = advise(*words)
    assert isinstance(done.exception, SystemExit | None), done.output
    assert "it answered 403. [/hover] [bold]" in " ".join(done.output.split())


@pytest.mark.parametrize("words", [(), ("--apply",), ("--json",)])
def test_no_traffic_no_data_and_no_store_end_with_1(advise: Typed, words: tuple[str, ...]) -> None:
    advise.metrics.requests = 0
    quiet = advise(*words)
    assert (quiet.exit_code, "nothing to judge by" in quiet.output) == (1, True)
    advise.metrics.down = True
    down = advise(*words)
    assert (down.exit_code, "does not answer" in down.output) == (1, True)
    assert advise.world.settings == {"cache_seconds": 0}


def test_what_was_begun_is_ended_first_and_not_tried_again_at_once(advise: Typed, table: Table) -> None:
    advise.metrics.slow, advise.metrics.fast = 0.05, 0.9
    lease = table.lease("dead")
    lease.take("advise")
    before = advise.tool.measure(CACHE, advise.world.time)
    planned = plan(CACHE, "the response cache is off", (), "dead", before, advise.world.time)
    table.journal().write(planned, lease)
    advise.world.time += 60
    done = advise("--apply")
    assert done.exit_code == 1
    assert "Going on with what was begun" in done.output
    (only,) = advise.tool.journal.changes()
    assert (only.change_id, only.phase) == (planned.change_id, "undone")
    assert advise.world.settings == {"cache_seconds": 0}


def test_nothing_is_changed_while_a_release_is_under_way(advise: Typed) -> None:
    class Running:
        version, ended = "v2", False

    advise.tool.releases = Releases(Running())
    done = advise("--apply")
    assert (done.exit_code, "release of v2 is under way" in done.output) == (2, True)
    assert advise.world.settings == {"cache_seconds": 0}
    assert advise.tool.lease.holder() is None


def test_somebody_elses_lease_is_respected(advise: Typed, table: Table) -> None:
    table.lease("alice").take("release v3")
    done = advise("--apply")
    assert (done.exit_code, "alice holds the release lease" in done.output) == (2, True)


@pytest.mark.parametrize("words", [("--since", "soon"), ("--watch", "1s"), ("history", "--since", "9d")])
def test_bad_input_ends_with_2(advise: Typed, words: tuple[str, ...]) -> None:
    done = advise(*words)
    assert done.exit_code == 2
    assert repr(words[-1]) in done.output


def test_a_watch_in_which_nothing_could_be_seen_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In AWS a scrape comes every 15 s: each change would be made, seen by nobody, and taken back."""
    prod = SimpleNamespace(outputs=SimpleNamespace(compute="ec2"))
    monkeypatch.setattr(tool.environment, "load", lambda _: prod)
    done = CliRunner().invoke(commands.advise, ["--stack", "prod", "--apply", "--watch", "1m"])
    assert done.exit_code == 2
    assert "pieces of 8 s hold too few scrapes" in done.output
    assert "Give at least 480s" in done.output


def test_without_a_system_it_says_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERAGENT_HOME", str(tmp_path))
    done = CliRunner().invoke(commands.advise, [])
    assert (done.exit_code, "superagent up" in done.output) == (2, True)


def test_a_key_file_with_more_than_the_key_is_refused_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text("sk-mine\nsk-of-somebody")
    monkeypatch.setenv("SUPERAGENT_ADMIN_KEY_FILE", str(file))
    aws: Any = SimpleNamespace(endpoint=None)
    with pytest.raises(UserError, match="nothing but the key") as refused:
        tool._admin_key(aws)
    assert "sk-" not in str(refused.value)
    file.write_text("sk-mine\n")
    assert tool._admin_key(aws) == "sk-mine"
