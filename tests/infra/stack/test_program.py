"""The real program under Pulumi's test monitor, for each stack and both computes."""

from __future__ import annotations

import importlib
import inspect
import json
from dataclasses import fields
from pathlib import Path

import pytest

from infra.delivery.values import values
from infra.policy.data import STATEFUL
from infra.policy.model import Resource
from infra.preview.estate import configuration as keys_of
from infra.preview.report import broken
from infra.preview.sdk_types import _snake
from infra.stack import configuration
from infra.stack.identity import SESSION_HOURS, TRUSTED
from infra.stack.outputs import StackOutputs
from tests.infra.estates import ALL, CLOUD, estate

GOLDEN = Path(__file__).with_name("golden")
LISTENER = "aws:lb/listener:Listener"
COMPLETE = (
    "rds/instance:Instance",
    "elasticache/replicationGroup:ReplicationGroup",
    "wafv2/webAcl:WebAcl",
    "backup/restoreTestingPlan:RestoreTestingPlan",
    "s3/bucketReplicationConfig:BucketReplicationConfig",
    "amp/alertManagerDefinition:AlertManagerDefinition",
    "grafana/workspace:Workspace",
    "acm/certificate:Certificate",
    "ec2/flowLog:FlowLog",
)
EXPLICIT = (
    "parameterGroupName",
    "vpcSecurityGroupIds",
    "kmsKeyId",
    "storageEncrypted",
    "iamDatabaseAuthenticationEnabled",
    "publiclyAccessible",
    "copyTagsToSnapshot",
)
ROLE = "aws:iam/role:Role"
TARGET_GROUP = "aws:lb/targetGroup:TargetGroup"


@pytest.mark.parametrize(("stack", "compute"), ALL)
def test_the_estate_breaks_no_rule(stack: str, compute: str) -> None:
    assert broken(estate(stack, compute)) == []


@pytest.mark.parametrize(("stack", "compute"), ALL)
def test_the_outputs_are_the_contract(stack: str, compute: str) -> None:
    found = estate(stack, compute)
    assert set(found.outputs) == {field.name for field in fields(StackOutputs)}
    outputs = StackOutputs(**found.outputs)
    assert (outputs.environment, outputs.compute) == (stack, compute)
    assert all(value for value in found.outputs.values())


@pytest.mark.parametrize("compute", ["ec2", "eks"])
def test_prod_is_complete(compute: str) -> None:
    found = estate("prod", compute)
    assert len(found.custom) > 150
    kinds = {one.type for one in found.resources.values()}
    for kind in COMPLETE:
        assert f"aws:{kind}" in kinds


def groups(compute: str) -> list[Resource]:
    return [one for one in estate("prod", compute).resources.values() if one.type == TARGET_GROUP]


def test_both_computes_share_the_same_edge() -> None:
    def edge(compute: str) -> dict[str, object]:
        return {
            one.urn: {key: value for key, value in one.inputs.items() if key != "targetType"}
            for one in estate("prod", compute).resources.values()
            if one.type in (LISTENER, TARGET_GROUP)
        }

    assert edge("ec2") == edge("eks")
    kinds = {compute: {one.inputs["targetType"] for one in groups(compute)} for compute in ("ec2", "eks")}
    assert kinds == {"ec2": {"instance"}, "eks": {"ip"}}


@pytest.mark.parametrize(("stack", "compute"), ALL)
def test_no_stateful_resource_disappears(stack: str, compute: str) -> None:
    """A name that goes missing here is a database, a bucket or an address that `pulumi up` would destroy.

    When it is meant: give the resource an alias, or change the list in the same commit and say why.
    """
    golden = (GOLDEN / f"{stack}-{compute}.txt").read_text().split()
    found = sorted(urn for urn, one in estate(stack, compute).resources.items() if one.type in STATEFUL)
    assert found == golden


@pytest.mark.parametrize(("stack", "compute"), CLOUD)
def test_everything_that_can_carry_tags_carries_them(stack: str, compute: str) -> None:
    bare = []
    for one in estate(stack, compute).resources.values():
        if not one.type.startswith("aws:") or one.type == "aws:autoscaling/group:Group":
            continue
        _, module, name = one.type.split(":")
        package = importlib.import_module(f"pulumi_aws.{module.split('/')[0]}.{_snake(name)}")
        if "tags" in inspect.signature(getattr(package, name)._internal_init).parameters:
            tags = one.inputs.get("tags") or {}
            if not {"Project", "Environment", "ManagedBy", "Name"} <= set(tags):
                bare.append(one.urn)
    assert bare == []


@pytest.mark.parametrize(("stack", "compute"), CLOUD)
def test_no_generated_secret_is_recorded_in_the_clear(stack: str, compute: str) -> None:
    found = estate(stack, compute)
    cluster = next(one for one in found.resources.values() if one.type.endswith(":ReplicationGroup"))
    assert "/authTokenWo" in cluster.secrets
    assert found.secret_outputs == ()
    assert not any("password" in one.inputs for one in found.resources.values())


def test_the_release_tools_things_are_ignored() -> None:
    ec2, eks = estate("prod", "ec2").resources.values(), estate("prod", "eks").resources.values()
    groups = [one for one in ec2 if one.type == "aws:autoscaling/group:Group"]
    assert [set(one.ignore_changes) for one in groups] == [{"desiredCapacity", "minSize"}] * 2
    deployments = [one for one in eks if one.type == "kubernetes:apps/v1:Deployment"]
    assert {one.name for one in deployments if "spec.replicas" in one.ignore_changes} == {"blue", "green"}
    parameters = [one for one in ec2 if one.type == "aws:ssm/parameter:Parameter"]
    assert [one.ignore_changes for one in parameters] == [("value",)] * 3


def test_over_fifty_debates_in_an_instance_both_colours_groups_grow() -> None:
    alarms = {
        one.inputs["dimensions"]["colour"]: one.inputs
        for one in estate("prod", "ec2").resources.values()
        if one.inputs.get("metricName") == "superagent_debates_active"
    }
    assert set(alarms) == {"blue", "green"}
    for alarm in alarms.values():
        assert (alarm["threshold"], alarm["comparisonOperator"]) == (50, "GreaterThanThreshold")
        assert alarm["statistic"] == "Average"
        assert alarm["alarmActions"]


def test_a_replica_gets_every_attribute_explicitly() -> None:
    """RDS gives a replica or restored instance its defaults for all that is not said."""
    databases = [
        one for one in estate("prod", "ec2").resources.values() if one.type == "aws:rds/instance:Instance"
    ]
    assert len(databases) == 3
    for one in databases:
        for key in EXPLICIT:
            assert one.inputs.get(key) is not None, f"{one.name} {key}"


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_the_roles_that_the_workflows_name_are_made_and_trust_what_they_should(stack: str) -> None:
    found = values(configuration.load(stack, keys_of(stack, {})), "123456789012")
    roles = [one for one in estate(stack, "ec2").resources.values() if one.type == ROLE]
    made = {one.inputs["name"]: one for one in roles}
    for name, environments in TRUSTED.items():
        role = made[found[f"{name}_role"].rpartition("/")[2]]
        assert role.inputs["maxSessionDuration"] == SESSION_HOURS.get(name, 1) * 3600
        condition = json.loads(role.inputs["assumeRolePolicy"])["Statement"][0]["Condition"]["StringEquals"]
        assert condition["token.actions.githubusercontent.com:sub"] == [
            f"repo:superagent/superagent:environment:{one.format(stack)}" for one in environments
        ]


@pytest.mark.parametrize("compute", ["ec2", "eks"])
def test_the_deploy_role_may_manage_every_role_of_the_estate(compute: str) -> None:
    resources = estate("prod", compute).resources.values()
    policy = next(one for one in resources if one.name == "deploy-policy")
    statements = json.loads(policy.inputs["policy"])["Statement"]
    (pattern,) = next(one for one in statements if one["Sid"] == "ManageRoles")["Resource"]
    prefix = pattern.rpartition(":role/")[2].removesuffix("*")
    names = [one.inputs["name"] for one in resources if one.type == ROLE]
    assert len(names) > 8
    assert [name for name in names if not name.startswith(prefix)] == []


def test_the_preview_role_opens_its_own_state_alone() -> None:
    policy = next(one for one in estate("staging", "ec2").resources.values() if one.name == "preview-policy")
    statements = json.loads(policy.inputs["policy"])["Statement"]
    objects = [
        resource
        for one in statements
        for resource in one["Resource"]
        if "superagent-pulumi-state/" in resource
    ]
    assert objects
    assert [
        resource for resource in objects if "staging" not in resource and "meta.yaml" not in resource
    ] == []
