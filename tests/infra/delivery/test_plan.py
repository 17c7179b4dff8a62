"""The plan that is approved is the plan that is carried out."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.delivery.plan import changes, digest, main, markdown

DATABASE = "urn:pulumi:prod::superagent::superagent:stack:Database$aws:rds/instance:Instance::primary"
QUEUE = "urn:pulumi:prod::superagent::superagent:stack:Edge$aws:lb/targetGroup:TargetGroup::blue"


def step(op: str, urn: str, inputs: dict[str, Any] | None = None, *paths: str) -> dict[str, Any]:
    return {
        "op": op,
        "urn": urn,
        "oldState": {"inputs": {"delay": 1}},
        "newState": {"inputs": inputs or {}},
        "detailedDiff": {path: {"kind": "update"} for path in paths},
    }


STEPS = [
    step("same", "urn:pulumi:prod::superagent::pulumi:pulumi:Stack::superagent-prod"),
    step("update", QUEUE, {"delay": 330}, "delay"),
    step("create-replacement", DATABASE, {"engine": "postgres"}, "engine"),
    step("delete-replaced", DATABASE, {"engine": "postgres"}, "engine"),
]


def test_a_replaced_database_comes_first_and_is_called_dangerous() -> None:
    text = markdown("prod", STEPS)
    assert "1 replace, 1 update" in text
    assert "[!CAUTION]\n> Data or addresses would be lost: `primary`" in text
    assert text.index("`primary` |") < text.index("`blue` |")
    assert "superagent-prod" not in text


def test_nothing_to_do_is_said() -> None:
    assert "Nothing would change." in markdown("prod", STEPS[:1])


def test_order_and_the_state_before_do_not_matter() -> None:
    other = copy.deepcopy(STEPS)[::-1]
    for one in other:
        one["oldState"] = None
    assert digest(other) == digest(STEPS)
    assert len(changes(STEPS)) == 2


@pytest.mark.parametrize(
    ("number", "key", "value"),
    [
        (1, "op", "delete"),
        (1, "urn", QUEUE.replace("blue", "green")),
        (1, "newState", {"inputs": {"delay": 0}}),
        (1, "detailedDiff", {"name": {"kind": "update-replace"}}),
        (0, "op", "update"),
    ],
)
def test_any_other_deed_is_another_plan(number: int, key: str, value: Any) -> None:
    other = copy.deepcopy(STEPS)
    other[number][key] = value
    assert digest(other) != digest(STEPS)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"steps": STEPS, "changeSummary": {}}))
    return path


def test_the_command_passes_the_approved_plan_and_stops_another(source: Path) -> None:
    run = CliRunner().invoke
    found = run(main, [str(source), "--stack", "prod", "--digest-only"]).stdout.strip()
    assert found in run(main, [str(source), "--stack", "prod"]).stdout
    assert run(main, [str(source), "--stack", "prod", "--expect", found]).exit_code == 0
    other = run(main, [str(source), "--stack", "prod", "--expect", "0" * 64])
    assert other.exit_code == 1
    assert "no longer the one" in other.stderr


def test_what_is_no_plan_is_refused(source: Path) -> None:
    source.write_text("error: no credentials")
    done = CliRunner().invoke(main, [str(source), "--stack", "prod"])
    assert done.exit_code == 2
