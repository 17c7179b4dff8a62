"""The role that releases from CI may make every call that a release makes: recorded, not listed by hand."""

from __future__ import annotations

import pytest

from infra.release.fleet import Migration
from infra.release.state import Phase
from tests.infra.release.test_fleets import asg_fleet, running, until
from tests.infra.release.world import Behaviour, Operator, World
from tests.infra.rights import of_role, recorded


def test_the_role_may_make_every_call_of_a_release_and_of_one_that_turns_back(world: World) -> None:
    world.behaviours["v3"] = Behaviour(errors=0.5)
    with recorded() as actions:
        assert Operator(world).start("v2").phase is Phase.SUCCEEDED
        assert Operator(world).start("v3").phase is Phase.ABORTED
        Operator(world).journal.runs()
    assert {"dynamodb:ConditionCheckItem", "sns:Publish", "elasticloadbalancing:ModifyListener"} <= actions
    assert actions - of_role("ec2", "release") == set()


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
    assert actions - of_role("ec2", "release") == set()


@pytest.mark.parametrize("action", ["dynamodb:*", "elasticloadbalancing:*", "sns:*", "*"])
def test_the_role_is_not_right_by_being_wide(action: str) -> None:
    assert action not in of_role("ec2", "release")
