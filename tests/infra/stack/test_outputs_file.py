"""A machine without Pulumi is given the outputs as a file, and nothing else is taken for them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from infra.errors import UserError
from infra.stack import environment
from infra.stack.outputs import StackOutputs

OUTPUTS = StackOutputs(
    environment="prod", region="eu-central-1", compute="eks", vpc_id="v", alb_arn="a", alb_dns_name="d",
    listener_arn="l", test_listener_arn="t", target_group_arns={"blue": "b", "green": "g"},
    image_parameters={"blue": "/b", "green": "/g"}, release_table="r", backup_bucket="b",
    database_pointer="/p", alert_topic_arn="s",
)  # fmt: skip


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "outputs.json"
    path.write_text(json.dumps(asdict(OUTPUTS)))
    monkeypatch.setenv(environment.OUTPUTS_FILE, str(path))
    return path


def test_the_outputs_come_from_the_file(file: Path) -> None:
    found = environment.load("prod")
    assert json.dumps(asdict(found.outputs)) == json.dumps(asdict(OUTPUTS))
    assert found.endpoint is None


def test_the_outputs_of_another_stack_are_refused(file: Path) -> None:
    with pytest.raises(UserError, match="describes 'prod', not 'staging'"):
        environment.load("staging")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"environment": "prod"}'])
def test_a_file_that_holds_something_else_is_refused(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(UserError):
        environment.load("prod")


def test_a_missing_file_is_named(file: Path) -> None:
    file.unlink()
    with pytest.raises(UserError, match=r"outputs\.json is no file of outputs"):
        environment.load("prod")
