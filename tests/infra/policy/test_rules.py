"""Every rule, broken on purpose: one mutated resource of the real estate gives exactly that finding."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from infra.policy.model import Estate, Resource
from infra.policy.rules import RULES, findings
from tests.infra.estates import estate

Mutation = Callable[[dict[str, Any]], None]


def put(path: str, value: Any) -> Mutation:
    """Set the value at a path (`a.0.b`); None removes it."""

    def mutate(inputs: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        at: Any = inputs
        for part in parents:
            at = at[int(part)] if isinstance(at, list) else at[part]
        if value is None:
            del at[last]
        else:
            at[int(last) if isinstance(at, list) else last] = value

    return mutate


def statement(**changes: Any) -> Mutation:
    def mutate(inputs: dict[str, Any]) -> None:
        document = json.loads(inputs["policy"])
        allowed = next(one for one in document["Statement"] if one["Effect"] == "Allow")
        allowed.update(changes)
        inputs["policy"] = json.dumps(document)

    return mutate


def trust(**changes: Any) -> Mutation:
    def mutate(inputs: dict[str, Any]) -> None:
        document = json.loads(inputs["assumeRolePolicy"])
        document["Statement"][0].update(changes)
        inputs["assumeRolePolicy"] = json.dumps(document)

    return mutate


def parameter(name: str, value: str) -> Mutation:
    def mutate(inputs: dict[str, Any]) -> None:
        next(one for one in inputs["parameters"] if one["name"] == name)["value"] = value

    return mutate


DB, CACHE = "aws:rds/instance:Instance", "aws:elasticache/replicationGroup:ReplicationGroup"
BALANCER, LOGS = "aws:lb/loadBalancer:LoadBalancer", "aws:cloudwatch/logGroup:LogGroup"
BUCKET_POLICY, SUBNET = "aws:s3/bucketPolicy:BucketPolicy", "aws:ec2/subnet:Subnet"
PARAMETERS, SSM = "aws:rds/parameterGroup:ParameterGroup", "aws:ssm/parameter:Parameter"
LISTENER, TEMPLATE = "aws:lb/listener:Listener", "aws:ec2/launchTemplate:LaunchTemplate"
ROLE, INLINE = "aws:iam/role:Role", "aws:iam/rolePolicy:RolePolicy"
GROUP, REPOSITORY = "aws:autoscaling/group:Group", "aws:ecr/repository:Repository"
CLUSTER, TABLE = "aws:eks/cluster:Cluster", "aws:dynamodb/table:Table"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
PUBLIC = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
GITHUB = {"StringEquals": {"token.actions.githubusercontent.com:sub": "repo:o/r:*"}}

# rule, type, name, mutation, part of the message
CASES: list[tuple[str, str, str, Mutation, str]] = [
    ("encryption", DB, "primary", put("storageEncrypted", False), "set storageEncrypted"),
    ("encryption", CACHE, "cache", put("atRestEncryptionEnabled", None), "set atRestEncryptionEnabled"),
    ("encryption", "aws:sns/topic:Topic", "alerts", put("kmsMasterKeyId", None), "set kmsMasterKeyId"),
    ("encryption", REPOSITORY, "service", put("encryptionConfigurations", []), "to KMS"),
    ("encryption", TEMPLATE, "fleet-blue", put("blockDeviceMappings.0.ebs.encrypted", "false"), "disk"),
    ("encryption", CLUSTER, "cluster", put("encryptionConfig", None), "encryptionConfig.provider.keyArn"),
    ("buckets", PUBLIC, "backups", put("blockPublicPolicy", False), "set blockPublicPolicy"),
    ("buckets", PUBLIC, "backups", put("bucket", "other"), "has no a public access block"),
    ("buckets", BUCKET_POLICY, "backups", put("policy", '{"Statement": []}'), "plain HTTP"),
    ("buckets", "aws:s3/bucketVersioning:BucketVersioning", "backups",
     put("versioningConfiguration.status", "Suspended"), "does not keep versions"),
    ("private-data", DB, "primary", put("publiclyAccessible", True), "reached from the internet"),
    ("private-data", INGRESS, "cache-in", put("cidrIpv4", "0.0.0.0/0"), "opens a port to the whole internet"),
    ("private-data", SUBNET, "data-eu-central-1a", put("mapPublicIpOnLaunch", True), "public addr"),
    ("private-data", CLUSTER, "cluster", put("vpcConfig.publicAccessCidrs", ["0.0.0.0/0"]), "whole internet"),
    ("protection", DB, "primary", put("deletionProtection", False), "set deletionProtection"),
    ("protection", BALANCER, "alb", put("enableDeletionProtection", False), "deleted by"),
    ("protection", "aws:s3/bucket:Bucket", "backups", put("forceDestroy", True), "emptied and deleted"),
    ("backups", DB, "primary", put("backupRetentionPeriod", 1), "fewer than 7 days"),
    ("backups", DB, "primary", put("skipFinalSnapshot", True), "without a last snapshot"),
    ("backups", DB, "primary", put("multiAz", False), "dies with its AZ"),
    ("backups", CACHE, "cache", put("snapshotRetentionLimit", 0), "snapshots"),
    ("backups", TABLE, "releases", put("pointInTimeRecovery.enabled", False), "point-in-time"),
    ("least-privilege", INLINE, "release-policy", statement(Action="*"), "allows *"),
    ("least-privilege", INLINE, "release-policy", statement(Action=["s3:*"]), "allows s3:*"),
    ("least-privilege", INLINE, "release-policy",
     statement(Action=["dynamodb:DeleteItem"], Resource="*"), "may dynamodb:DeleteItem on everything"),
    ("least-privilege", INLINE, "release-policy", statement(NotAction="iam:*"), "by exclusion"),
    ("least-privilege", INLINE, "release-policy",
     statement(Action=["rds-db:connect"], Resource="arn:aws:rds-db:x:1:dbuser:*/*"), "name the one"),
    ("least-privilege", "aws:iam/rolePolicyAttachment:RolePolicyAttachment", "preview-ViewOnlyAccess",
     put("policyArn", "arn:aws:iam::aws:policy/AdministratorAccess"), "attaches AdministratorAccess"),
    ("least-privilege", "aws:iam/rolePolicyAttachment:RolePolicyAttachment", "preview-SecurityAudit",
     put("policyArn", "arn:aws:iam::aws:policy/PowerUserAccess"), "attaches PowerUserAccess"),
    ("trust", ROLE, "instance-role", trust(Principal="*"), "by anybody"),
    ("trust", ROLE, "release-role", trust(Condition=GITHUB), "trusts every workflow"),
    ("trust", ROLE, "release-role", trust(Condition={}), "trusts every workflow"),
    ("imds-v2", TEMPLATE, "fleet-blue", put("metadataOptions.httpTokens", "optional"), "IMDSv2"),
    ("imds-v2", TEMPLATE, "fleet-blue", put("networkInterfaces.0.associatePublicIpAddress", "true"), "pub"),
    ("tls", LISTENER, "production", put("protocol", "HTTP"), "plain HTTP"),
    ("tls", LISTENER, "production", put("sslPolicy", "ELBSecurityPolicy-2016-08"), "old TLS"),
    ("tls", CACHE, "cache", put("transitEncryptionMode", "preferred"), "plain connections"),
    ("tls", PARAMETERS, "database", parameter("rds.force_ssl", "0"), "force_ssl"),
    ("no-plain-secrets", DB, "primary", put("password", "hunter2"), "plain secret at /password"),
    ("no-plain-secrets", SSM, "database", put("description", "AKIAABCDEFGHIJKLMNOP"), "a key at"),
    ("resolved-outputs", SSM, "database",
     put("description", "Calling __str__ on an Output[T] is not supported."), "Output.format"),
    ("cluster-access", CLUSTER, "cluster", put("accessConfig.authenticationMode", "CONFIG_MAP"), "aws-auth"),
    ("tags", "aws:kms/key:Key", "data", put("tags.Environment", None), "lacks the tag Environment"),
    ("tags", GROUP, "fleet-blue", put("tags.0.propagateAtLaunch", False), "to its instances"),
    ("tags", TEMPLATE, "fleet-blue", put("tagSpecifications", []), "without tags"),
    ("log-retention", LOGS, "service", put("retentionInDays", None), "for ever"),
    ("immutable-images", REPOSITORY, "service", put("imageTagMutability", "MUTABLE"), "IMMUTABLE"),
    ("immutable-images", REPOSITORY, "service", put("imageScanningConfiguration.scanOnPush", False), "scan"),
    ("one-owner", GROUP, "fleet-blue",
     put("mixedInstancesPolicy.launchTemplate.launchTemplateSpecification.version", "$Latest"), "$Latest"),
    ("names", BALANCER, "alb", put("name", "x" * 33), "33 characters"),
]  # fmt: skip


def part_of_name(value: object) -> str:
    return "" if callable(value) else str(value)[:40]


@pytest.mark.parametrize(("rule", "kind", "name", "mutate", "said"), CASES, ids=part_of_name)
def test_a_broken_resource_gives_exactly_its_finding(
    rule: str, kind: str, name: str, mutate: Mutation, said: str
) -> None:
    whole = estate("prod", "eks" if kind == CLUSTER else "ec2")
    target = next(one for one in whole.resources.values() if one.type == kind and one.name == name)
    inputs = copy.deepcopy(dict(target.inputs))
    mutate(inputs)
    found = with_one(
        whole.environment, list(whole.resources.values()), dataclasses.replace(target, inputs=inputs)
    )
    assert [one for one, _ in found if one != rule] == []
    assert any(said in message for _, message in found), found


def with_one(environment: str, resources: list[Resource], changed: Resource) -> list[tuple[str, str]]:
    estate_ = Estate(environment, [changed if one.urn == changed.urn else one for one in resources])
    return [(one.rule, one.message) for one in findings(estate_)]


def test_every_rule_has_a_case() -> None:
    assert {rule.name for rule in RULES} == {rule for rule, *_ in CASES}


def test_weights_that_pulumi_would_reset_are_found() -> None:
    whole = estate("prod", "ec2")
    listener = next(
        one for one in whole.resources.values() if one.name == "production" and one.type == LISTENER
    )
    bare = dataclasses.replace(listener, ignore_changes=("defaultActions[0].forward",))
    found = with_one("prod", list(whole.resources.values()), bare)
    assert found == [("one-owner", "production would reset the weights: ignore the whole defaultActions")]


def test_data_without_protect_is_found_in_prod_and_allowed_in_dev() -> None:
    for stack, expected in (("prod", ["protection"]), ("dev", [])):
        whole = estate(stack, "ec2")
        bucket = next(one for one in whole.resources.values() if one.type == "aws:s3/bucket:Bucket")
        found = with_one(stack, list(whole.resources.values()), dataclasses.replace(bucket, protect=False))
        assert [rule for rule, _ in found] == expected


def test_a_secret_that_is_marked_may_stand_there() -> None:
    hidden = Resource("aws:x/y:Z", "z", "urn", {"authToken": "value"}, secrets=("/authToken",))
    plain = dataclasses.replace(hidden, secrets=())
    assert findings(Estate("dev", [hidden])) == []
    assert [one.rule for one in findings(Estate("dev", [plain]))] == ["no-plain-secrets"]
