"""A node that starts before its stores are ready says so once, refuses nobody, and needs no restart."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.storage.database import MISSING, NEWEST, OLD, REFUSED
from tests.parts import wait_until
from tests.service.running import Process, create_key, ready
from tests.service.stores import Postgres, postgres
from tests.service.traffic import ask

pytestmark = [pytest.mark.component, pytest.mark.timeout(180)]
STRANGER = "sk-" + "x" * 43


@pytest.fixture
def store() -> Iterator[Postgres]:
    with postgres() as one:
        yield one


@pytest.fixture
def node(store: Postgres, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Process]:
    """Started while its database is as `request.param` says."""
    if request.param not in ("empty", "stranger"):
        ready(store.url)
    if request.param == "away":
        store.kill()
    if request.param == "old":
        store.query(f"delete from schema_migrations where version = '{NEWEST}'")
    owner = {"DATABASE_URL": store.url} if request.param == "empty" else {}
    one = Process(store.url, tmp_path, ready=503 if request.param != "away" else 200, **owner)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait(10)


def dependency(node: Process) -> dict[str, Any]:
    with urllib.request.urlopen(node.url + "/health", timeout=5) as response:
        found: dict[str, Any] = json.load(response)["dependencies"]["postgres"]
        return found


def reasons(node: Process) -> list[str]:
    try:
        urllib.request.urlopen(node.url + "/health/ready", timeout=5).close()
    except urllib.error.HTTPError as error:
        found: list[str] = json.load(error)["reasons"]
        return found
    return []


def told(node: Process) -> list[tuple[bool, str | None]]:
    lines = [line for line in node.log if line["event"] == "dependency"]
    return [(line["up"], line.get("reason")) for line in lines if line["dependency"] == "postgres"]


@pytest.mark.parametrize("node", ["away"], indirect=True)
def test_without_postgres_no_key_is_called_wrong_and_all_work_when_it_is_back(
    node: Process, store: Postgres
) -> None:
    for _ in range(3):
        answer = ask(node.port, STRANGER)
        assert (answer.status, answer.error) == (503, "unavailable_error")
    request = urllib.request.Request(node.url + "/v1/models", headers={"authorization": f"Bearer {STRANGER}"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert caught.value.code == 503
    assert int(caught.value.headers["retry-after"]) >= 1
    wait_until(lambda: told(node) == [(False, "it cannot be reached")], "the log says so")
    store.start()
    wait_until(lambda: dependency(node)["up"], "it is back")
    assert ask(node.port, create_key(store.url, "chat")).status == 200
    assert ask(node.port, STRANGER).status == 401
    wait_until(lambda: told(node) == [(False, "it cannot be reached"), (True, None)], "the log says so")


@pytest.mark.parametrize(
    ("node", "sentence"),
    [("empty", MISSING), ("stranger", REFUSED), ("old", OLD)],
    indirect=["node"],
)
def test_before_migrate_it_is_steadily_not_ready_and_says_why(
    node: Process, store: Postgres, sentence: str
) -> None:
    seen = set()
    for _ in range(20):  # several rounds of everything that asks the database by itself
        found = dependency(node)
        seen.add((found["up"], found["reason"], *reasons(node)))
        time.sleep(0.2)
    assert seen == {(False, sentence, f"postgres: {sentence}")}
    assert told(node) == [(False, sentence)]
    if sentence == OLD:
        store.query(f"insert into schema_migrations values ('{NEWEST}')")
    else:
        ready(store.url)
    wait_until(lambda: node.status("/health/ready") == 200, "ready without a restart")
    assert dependency(node) == {"up": True, "reason": ""}
    assert ask(node.port, create_key(store.url, "chat")).status == 200
    wait_until(lambda: told(node) == [(False, sentence), (True, None)], "the log says so")
