"""What the workflows take from a stack's file."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from infra.delivery import values as module
from infra.delivery.values import values
from infra.errors import UserError
from infra.preview.estate import configuration as keys_of
from infra.stack import configuration

PROD = configuration.load("prod", keys_of("prod", {}))


def test_region_state_registry_and_roles_come_from_the_stack() -> None:
    found = values(PROD, "123456789012")
    assert found["region"] == "eu-central-1"
    assert found["backend"] == "s3://superagent-pulumi-state"
    assert found["repository"] == "123456789012.dkr.ecr.eu-central-1.amazonaws.com/superagent-prod-service"
    assert found["deploy_role"] == "arn:aws:iam::123456789012:role/superagent-prod-deploy"


def test_the_command_writes_lines_that_github_reads() -> None:
    done = CliRunner().invoke(module.main, ["--stack", "dev", "--account", "123456789012"])
    assert done.exit_code == 0, done.output
    lines = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert lines["preview_role"].endswith("role/superagent-dev-preview")


@pytest.mark.parametrize("account", ["", "12345", "12345678901x", "123456789012\nx=y"])
def test_an_account_that_is_none_is_refused(account: str) -> None:
    with pytest.raises(UserError, match="AWS_ACCOUNT_ID"):
        values(PROD, account)


def test_a_stack_without_a_place_for_its_state_is_refused() -> None:
    with pytest.raises(UserError, match="state_bucket"):
        values(PROD.model_copy(update={"state_bucket": None}), "123456789012")
