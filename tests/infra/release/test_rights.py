"""The role that releases from CI may make every call that a release makes: recorded, not listed by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from infra.release.fleet import Migration
from infra.release.state import Phase
from tests.infra.estates import estate
from tests.infra.release.test_fleets import asg_fleet, running, until
from tests.infra.release.world import Behaviour, Operator, World, client

SERVICES = ("dynamodb", "elbv2", "ssm", "sns", "autoscaling", "ecr")
WRITES = {
    "Put": "PutItem",
    "Delete": "DeleteItem",
    "Update": "UpdateItem",
    "ConditionCheck": "ConditionCheckItem",
}
"""Parts of a transaction: IAM asks for each of them, and for nothing named after the transaction."""


@contextmanager
def recorded() -> Iterator[set[str]]:
    """The IAM actions of every call that is made meanwhile."""
    actions: set[str] = set()

    def see(params: dict[str, Any], model: Any, **_: Any) -> None:
        service = model.service_model.signing_name
        if model.name == "TransactWriteItems":
            names = [WRITES[kind] for part in params["TransactItems"] for kind in part]
        else:
            names = [model.name]
        actions.update(f"{service}:{name}" for name in names)

    for service in SERVICES:
        client(service).meta.events.register("provide-client-params", see, unique_id=f"rights-{service}")
    try:
        yield actions
    finally:
        for service in SERVICES:
            client(service).meta.events.unregister("provide-client-params", unique_id=f"rights-{service}")


def of_role(name: str) -> set[str]:
    (policy,) = [
        json.loads(one.inputs["policy"])
        for one in estate("prod", "ec2").resources.values()
        if one.name == f"{name}-policy"
    ]
    return {
        action
        for statement in policy["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }


def test_the_role_may_make_every_call_of_a_release_and_of_one_that_turns_back(world: World) -> None:
    world.behaviours["v3"] = Behaviour(errors=0.5)
    with recorded() as actions:
        assert Operator(world).start("v2").phase is Phase.SUCCEEDED
        assert Operator(world).start("v3").phase is Phase.ABORTED
        Operator(world).journal.runs()
    assert {"dynamodb:ConditionCheckItem", "sns:Publish", "elasticloadbalancing:ModifyListener"} <= actions
    assert actions - of_role("release") == set()


def test_the_role_may_make_every_call_that_moves_instances_and_migrates(world: World) -> None:
    made = asg_fleet(world)
    fleet = next(made).fleet
    with recorded() as actions:
        running(fleet, "blue", "green", "superagent:v1")
        assert fleet.find_image("123456789012.dkr.ecr.eu-central-1.amazonaws.com/superagent:v2")
        migration: Migration = fleet.migrate("green", "superagent:v2")
        until(lambda: migration.poll() == "", "a migration")
        fleet.scale_down("blue")
    made.close()  # type: ignore[attr-defined]
    assert {"ssm:SendCommand", "autoscaling:UpdateAutoScalingGroup"} <= actions
    assert actions - of_role("release") == set()


@pytest.mark.parametrize("action", ["dynamodb:*", "elasticloadbalancing:*", "sns:*", "*"])
def test_the_role_is_not_right_by_being_wide(action: str) -> None:
    assert action not in of_role("release")
