"""The checklist on a real system, from the first `up` to a clean bill; and a release that is handed over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra.delivery.drive import Patience, drive
from tests.e2e.commands import SuperAgent
from tests.parts import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.soak, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuperAgent]:
    superagent = SuperAgent(tmp_path_factory.mktemp("check") / "home")
    try:
        superagent.must("up", SUPERAGENT_ALERT_WEBHOOK="http://127.0.0.1:9/")
        yield superagent
    finally:
        superagent.run("down", "--purge")


def check(system: SuperAgent) -> tuple[int, dict[str, Any]]:
    done = system.run("check", "--stack", "local", "--json")
    return done.returncode, {one["check"]: one for one in json.loads(done.stdout)["checks"]}


def test_a_new_system_is_told_what_it_lacks(system: SuperAgent) -> None:
    seen: dict[str, Any] = {}

    def measured() -> bool:
        seen.update(check(system)[1])
        return all(seen[name]["word"] == "pass" for name in ("limits", "monitoring", "alerts"))

    wait_until(measured, "Prometheus has seen everything", 120)
    code, found = check(system)
    failed = {name: one["fix"] for name, one in found.items() if one["word"] == "fail"}
    assert code == 1
    assert failed.keys() == {"backups", "drill", "release"}, found
    assert failed["backups"] == "superagent backup create --stack local"
    assert failed["drill"] == "superagent drill --stack local"


def test_a_release_that_lingers_is_handed_over_and_resumed(
    system: SuperAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPERAGENT_HOME", str(system.home))
    for number in range(2, 8):  # here the old colour lingers for seconds only: a look may come too late
        code, handed_over = drive("local", ["start", "--version", f"v{number}"], Patience(0), look=0.2)
        assert code == 0
        if handed_over:
            break
    assert handed_over
    status = json.loads(system.must("release", "status", "--json"))
    assert not status["run"]["ended_at"]
    assert {one["image"]: one["weight"] for one in status["colours"]}[f"v{number}"] == 100
    assert drive("local", ["resume"], Patience(3600)) == (0, False)
    (newest,) = json.loads(system.must("release", "history", "--limit", "1", "--json"))
    assert (newest["phase"], newest["version"]) == ("succeeded", f"v{number}")


def test_what_it_lacked_is_done_and_everything_passes(system: SuperAgent) -> None:
    system.must("backup", "create")
    system.must("backup", "verify")
    system.must("drill")
    seen: list[Any] = []

    def clean() -> bool:
        seen[:] = check(system)
        return bool(seen[0] == 0)

    wait_until(clean, "every check passes", 120)
    assert {one["word"] for one in seen[1].values()} == {"pass"}


def test_a_dead_part_is_seen(system: SuperAgent) -> None:
    system.must("down")
    code, found = check(system)
    assert code in (1, 2)
    assert {found[name]["word"] for name in ("auth", "monitoring", "traffic")} == {"unknown"}
