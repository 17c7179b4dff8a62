"""The service's own database user in the estate: who may become it, who may become the owner."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.policy.access import statements
from tests.infra.estates import CLOUD, estate

MASTER = "secret:rds!db-*"
INLINE = "aws:iam/rolePolicy:RolePolicy"


def policies(stack: str, compute: str) -> dict[str, list[Any]]:
    """Policy → its statements."""
    return {
        one.name.removesuffix("-policy"): list(statements(one))
        for one in estate(stack, compute).resources.values()
        if one.type == INLINE
    }


@pytest.mark.parametrize(("stack", "compute"), CLOUD)
def test_the_service_may_connect_as_one_user_of_its_own_environment(stack: str, compute: str) -> None:
    service = "instance" if compute == "ec2" else "superagent"
    (connect,) = [one for one in policies(stack, compute)[service] if one["Sid"] == "ConnectToDatabase"]
    assert connect["Action"] == ["rds-db:connect"]
    (arn,) = connect["Resource"]
    # Any instance, because a restored one is another resource; the user's name holds the environment.
    assert arn.endswith(f":dbuser:*/superagent_{stack}_service")
    assert arn.startswith("arn:aws:rds-db:eu-central-1:")


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_in_a_cluster_only_migrations_and_backups_read_the_owners_login(stack: str) -> None:
    found = {name for name, allowed in policies(stack, "eks").items() if MASTER in json.dumps(allowed)}
    assert found == {"migrate-job", "backup-job"}
    accounts = {
        one.at("serviceAccount")
        for one in estate(stack, "eks").resources.values()
        if one.type.endswith(":PodIdentityAssociation") and one.at("namespace") == "superagent"
    }
    assert accounts == {"superagent", "backup", "migrate", "exporter"}


@pytest.mark.parametrize("compute", ["ec2", "eks"])
def test_no_other_role_touches_a_database_login(compute: str) -> None:
    logins = {name for name, allowed in policies("prod", compute).items() if "rds" in json.dumps(allowed)}
    service = {"instance"} if compute == "ec2" else {"superagent", "migrate-job", "backup-job"}
    tools = logins - service
    assert not any("rds-db:" in json.dumps(policies("prod", compute)[name]) for name in tools)
    assert not any(MASTER in json.dumps(policies("prod", compute)[name]) for name in tools)


@pytest.mark.parametrize(("stack", "compute"), [("prod", "ec2"), ("prod", "eks")])
def test_every_instance_of_the_database_takes_tokens(stack: str, compute: str) -> None:
    instances = [one for one in estate(stack, compute).resources.values() if one.type.endswith(":Instance")]
    databases = [one for one in instances if one.type.startswith("aws:rds/")]
    assert {one.name for one in databases} >= {"primary", "replica"}
    assert all(one.at("iamDatabaseAuthenticationEnabled") is True for one in databases)
