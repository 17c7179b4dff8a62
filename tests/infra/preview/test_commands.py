"""`superagent preview` as a person and as CI meet it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from infra.cli import main

runner = CliRunner()


def test_the_json_form_lists_the_estate() -> None:
    done = runner.invoke(main, ["preview", "--stack", "local", "--format", "json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["environment"] == "local"
    assert {one["component"] for one in found["resources"] if one["custom"]} == {
        "backups", "edge", "network", "observability", "releases"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stack", "nowhere"], "superagent:environment is 'nowhere'"),
        (["--stack", "prod", "--config", "vpc_cidr=10.0.0.0/8"], "a VPC here is a /16 to /20"),
        (["--stack", "prod", "--config", "vpc_cidr"], "has no value"),
        (["--stack", "prod", "--config", "vpcc_cidr=x"], "Did you mean superagent:vpc_cidr"),
        (["--stack", "local", "--base", "no-such-revision"], "is no revision of this repository"),
        (["--format", "poem"], "'poem' is not one of"),
    ],
)
def test_bad_input_ends_with_2_and_the_fix(arguments: list[str], said: str) -> None:
    done = runner.invoke(main, ["preview", *arguments])
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_against_itself_nothing_changes() -> None:
    done = runner.invoke(main, ["preview", "--stack", "local", "--base", "HEAD", "--format", "markdown"])
    assert done.exit_code == 0, done.output
    assert "against `HEAD`" in done.stdout
