"""The real prod program against a real AWS API: what it says there is what it declares here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from click.testing import CliRunner

from infra.home import CHECKOUT
from infra.local.emulated_clients import EMULATED_CREDENTIALS
from infra.policy.data import BUCKET
from infra.preview.drift_command import drift
from infra.preview.estate import Recording
from infra.preview.live import PROBES, compare
from infra.stack.addresses import TIERS, subnet
from infra.stack.configuration import load
from infra.stack.environment import Environment
from infra.stack.outputs import StackOutputs
from tests.infra.estates import estate
from tests.infra.local.policy_evaluation import allowed
from tests.parts import REGION, free_port, port_open, wait_until

Clients = Callable[..., Any]
ZONES = ("eu-central-1a", "eu-central-1b", "eu-central-1c")
UNKNOWN_TO_MOTO = {
    "aws:acm/certificateValidation:CertificateValidation",  # waits for DNS; it creates nothing
    "aws:amp/alertManagerDefinition:AlertManagerDefinition",
    "aws:amp/scraper:Scraper",
    "aws:eks/accessEntry:AccessEntry",
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
    "aws:amp/workspaceConfiguration:WorkspaceConfiguration",
    "aws:backup/restoreTestingPlan:RestoreTestingPlan",
    "aws:backup/restoreTestingSelection:RestoreTestingSelection",
    "aws:backup/selection:Selection",
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",  # adopts what the VPC brings; it creates nothing
    "aws:eks/addon:Addon",
    "aws:eks/podIdentityAssociation:PodIdentityAssociation",
    "aws:elasticache/parameterGroup:ParameterGroup",
    "aws:grafana/workspace:Workspace",
    "aws:rds/instance:Instance (replica)",  # moto gives it the primary's resource id and options
}

pytestmark = pytest.mark.component


@contextmanager
def server() -> Iterator[str]:
    """A moto of its own, with the policies that AWS manages."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: port_open(port), "moto accepts connections", 60)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def create(endpoint: str, compute: str, folder: Path) -> dict[str, Any]:
    out = folder / "made.json"
    command = [sys.executable, "-m", "tests.infra.local.estate_in_moto", endpoint, compute, str(out)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def clients(endpoint: str) -> Clients:
    make: Any = boto3.client
    return lambda service, region=REGION: make(
        service, region_name=region, endpoint_url=endpoint, **EMULATED_CREDENTIALS
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Clients, dict[str, Any]]]:
    """The whole of prod on EC2, created once for this file."""
    with server() as endpoint:
        yield clients(endpoint), create(endpoint, "ec2", tmp_path_factory.mktemp("prod"))


Estate = tuple[Clients, dict[str, Any]]


def test_everything_that_moto_supports_reads_back_as_declared(made: Estate) -> None:
    _, found = made
    assert found["wrong"] == {}
    assert len(found["kinds"]) + len(found["recorded_only"]) > 40
    assert set(found["recorded_only"]) <= UNKNOWN_TO_MOTO


@pytest.mark.soak
def test_the_same_holds_on_kubernetes(tmp_path: Path) -> None:
    with server() as endpoint:
        found = create(endpoint, "eks", tmp_path)
    assert found["wrong"] == {}
    assert {"aws:eks/cluster:Cluster", "aws:eks/nodeGroup:NodeGroup"} <= set(found["kinds"])
    assert set(found["recorded_only"]) <= UNKNOWN_TO_MOTO


def test_subnets_have_their_addresses_and_tables(made: Estate) -> None:
    aws, found = made
    subnets_have_their_addresses_and_tables(aws("ec2"), found["ids"], found["outputs"])


def test_groups_reference_each_other(made: Estate) -> None:
    aws, found = made
    groups_reference_each_other(aws("ec2"), found["ids"])


def test_listeners_are_as_declared(made: Estate) -> None:
    aws, found = made
    listeners_are_as_declared(aws("elbv2"), found["outputs"])
    table = aws("dynamodb").describe_table(TableName=found["outputs"]["release_table"])["Table"]
    assert table["DeletionProtectionEnabled"] is True


def test_buckets_are_closed(made: Estate) -> None:
    aws, found = made
    buckets_are_closed(aws("s3"), found["outputs"]["backup_bucket"])


@pytest.mark.parametrize(
    ("secure", "tls", "enters"),
    [("true", "1.3", True), ("true", "1.2", True), ("false", "", False), ("true", "1.1", False)],
)
def test_the_policy_of_a_bucket_refuses_what_is_not_modern_tls(secure: str, tls: str, enters: bool) -> None:
    """Evaluated by the rules of IAM (policy_evaluation.py): moto ignores conditions."""
    name = "superagent-prod-backups"
    (policy,) = [
        one.inputs["policy"]
        for one in estate("prod", "ec2").resources.values()
        if one.type.endswith(":BucketPolicy") and one.inputs["bucket"] == name
    ]
    request = {"aws:SecureTransport": secure} | ({"s3:TlsVersion": tls} if tls else {})
    for action, resource in (("s3:GetObject", f"{name}/a"), ("s3:ListBucket", name)):
        by_identity = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        document = {"Statement": [*json.loads(policy)["Statement"], by_identity]}
        assert allowed(document, action, f"arn:aws:s3:::{resource}", request) is enters


def subnets_have_their_addresses_and_tables(ec2: Any, ids: dict[str, str], outputs: dict[str, Any]) -> None:
    config = {"superagent:domain": "a.example", "superagent:hosted_zone_id": "Z1"}
    block = load("prod", config).vpc_cidr
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [outputs["vpc_id"]]}])[
        "RouteTables"
    ]
    table_of = {
        association["SubnetId"]: table
        for table in tables
        for association in table["Associations"]
        if "SubnetId" in association
    }
    for tier in TIERS:
        for az in ZONES:
            identity = ids[f"aws:ec2/subnet:Subnet::{tier}-{az}"]
            (found,) = ec2.describe_subnets(SubnetIds=[identity])["Subnets"]
            assert (found["CidrBlock"], found["AvailabilityZone"]) == (subnet(block, tier, az), az)
            ways = [
                way for way in table_of[identity]["Routes"] if way.get("DestinationCidrBlock") == "0.0.0.0/0"
            ]
            if tier == "public":
                assert ways[0]["GatewayId"] == ids["aws:ec2/internetGateway:InternetGateway::internet"]
            elif tier == "private":
                assert ways[0]["NatGatewayId"] == ids[f"aws:ec2/natGateway:NatGateway::nat-{az}"]
            else:
                assert ways == []


def groups_reference_each_other(ec2: Any, ids: dict[str, str]) -> None:
    def rules(name: str, direction: str) -> dict[int, list[str]]:
        group = ids[f"aws:ec2/securityGroup:SecurityGroup::{name}"]
        (found,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
        return {
            one["FromPort"]: [pair["GroupId"] for pair in one["UserIdGroupPairs"]]
            + [network["CidrIp"] for network in one["IpRanges"]]
            for one in found[direction]
        }

    group = {
        name: ids[f"aws:ec2/securityGroup:SecurityGroup::{name}"]
        for name in ("alb", "service", "database", "cache")
    }
    assert rules("alb", "IpPermissionsEgress") == {8000: [group["service"]]}
    assert rules("service", "IpPermissions") == {8000: [group["alb"]]}
    assert rules("database", "IpPermissions") == {5432: [group["service"]]}
    assert rules("cache", "IpPermissions") == {6379: [group["service"]]}
    assert rules("database", "IpPermissionsEgress") == {}
    assert rules("service", "IpPermissionsEgress") == {
        443: ["0.0.0.0/0"],
        5432: [group["database"]],
        6379: [group["cache"]],
    }
    ways_out = [f"{one['PublicIp']}/32" for one in ec2.describe_addresses()["Addresses"]]
    entries = rules("alb", "IpPermissions")
    assert (entries[443], entries[80]) == (["0.0.0.0/0"], ["0.0.0.0/0"])
    assert (sorted(entries[8443]), len(ways_out)) == (sorted(["10.73.0.0/16", *ways_out]), 3)
    assert set(entries) == {80, 443, 8443}


def listeners_are_as_declared(elb: Any, outputs: dict[str, Any]) -> None:
    found = {
        one["Port"]: one for one in elb.describe_listeners(LoadBalancerArn=outputs["alb_arn"])["Listeners"]
    }
    assert set(found) == {80, 443, 8443}
    assert found[443]["Protocol"] == "HTTPS"
    assert "TLS13" in found[443]["SslPolicy"]
    weights = found[443]["DefaultActions"][0]["ForwardConfig"]["TargetGroups"]
    blue, green = outputs["target_group_arns"]["blue"], outputs["target_group_arns"]["green"]
    assert {one["TargetGroupArn"]: one["Weight"] for one in weights} == {blue: 100, green: 0}
    assert found[80]["DefaultActions"][0]["RedirectConfig"]["StatusCode"] == "HTTP_301"
    attributes = elb.describe_target_group_attributes(TargetGroupArn=blue)["Attributes"]
    values = {one["Key"]: one["Value"] for one in attributes}
    assert values["deregistration_delay.timeout_seconds"] == "330"
    assert values["stickiness.lb_cookie.duration_seconds"] == "86400"


def buckets_are_closed(s3: Any, name: str) -> None:
    """Without the policy: moto ignores its condition, so the emulator leaves it out."""
    assert all(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
    rules = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert rules[0]["NoncurrentVersionExpiration"]["NoncurrentDays"] == 7
    assert "Expiration" not in rules[0], "age alone removes no backup: prune knows the newest verified one"
    encryption = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"


def test_live_differences_belong_to_the_release_tool_or_are_drift(made: Estate) -> None:
    """The last of this file: it changes the estate, first as the release tool would, then as nobody may."""
    aws, found = made
    outputs, declared = StackOutputs(**found["outputs"]), estate("prod", "ec2")
    # Moto has neither replica (UNKNOWN_TO_MOTO), of this region and of the second: what is missing is found.
    replica = [("replica", "is gone")] * 2
    first = compare(declared, outputs, aws)
    assert [(one.name, one.change) for one in first if not one.clean] == replica
    unasked = {one.urn for one in first if one.verdict == "unasked"}
    asked = {one.urn for one in declared.resources.values() if one.type in PROBES}
    inside = {urn for urn in declared.resources if "::pulumi:" not in urn.replace("$", "::")}
    assert not unasked & asked, "what has a probe is asked"
    assert unasked | asked >= {urn for urn in inside if declared.resources[urn].type.startswith("aws:")}

    blue, green = outputs.target_group_arns["blue"], outputs.target_group_arns["green"]
    weights = [{"TargetGroupArn": blue, "Weight": 0}, {"TargetGroupArn": green, "Weight": 100}]
    forward = [{"Type": "forward", "ForwardConfig": {"TargetGroups": weights}}]
    aws("elbv2").modify_listener(ListenerArn=outputs.listener_arn, DefaultActions=forward)
    scaling = aws("autoscaling")
    scaling.update_auto_scaling_group(AutoScalingGroupName="superagent-prod-green", DesiredCapacity=3)
    aws("ssm").put_parameter(
        Name=outputs.image_parameters["green"], Value="registry/service:v2", Overwrite=True
    )
    aws("ssm").put_parameter(Name=outputs.database_pointer, Value="restored/superagent", Overwrite=True)
    released = [
        one for one in compare(declared, outputs, aws) if one.name != "replica" and one.verdict != "unasked"
    ]
    assert not any(one.drift for one in released)
    assert {(one.name, one.path, one.verdict) for one in released} == {
        ("production", "defaultActions[0].forward.targetGroups[0].weight", "release"),
        ("production", "defaultActions[0].forward.targetGroups[1].weight", "release"),
        ("production", "defaultActions[0].forward.stickiness.enabled", "release"),
        ("fleet-green", "desiredCapacity", "release"),
        ("image-green", "value", "release"),
        ("database", "value", "recovery"),
    }

    scaling.update_auto_scaling_group(AutoScalingGroupName="superagent-prod-blue", MaxSize=99)
    aws("rds").modify_db_instance(
        DBInstanceIdentifier="superagent-prod-database", DeletionProtection=False, ApplyImmediately=True
    )
    aws("s3").put_bucket_versioning(
        Bucket=outputs.backup_bucket, VersioningConfiguration={"Status": "Suspended"}
    )
    aws("s3").delete_public_access_block(Bucket=outputs.backup_bucket)
    aws("ssm").delete_parameter(Name=outputs.image_parameters["blue"])
    seconds = [{"Key": "deregistration_delay.timeout_seconds", "Value": "0"}]
    aws("elbv2").modify_target_group_attributes(TargetGroupArn=blue, Attributes=seconds)
    drifted = [one for one in compare(declared, outputs, aws) if one.drift and one.name != "replica"]
    assert {(one.name, one.path, one.change) for one in drifted} == {
        ("fleet-blue", "maxSize", "30 → 99"),
        ("primary", "deletionProtection", "True → False"),
        ("backups", "versioningConfiguration.status", "Enabled → Suspended"),
        ("backups", "", "is gone"),
        ("image-blue", "", "is gone"),
        ("superagent-prod-blue", "deregistrationDelay", "330 → 0"),
    }


def test_the_drift_command_asks_aws(made: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    aws, found = made
    outputs = StackOutputs(**found["outputs"])
    estate("prod", "ec2")
    monkeypatch.setattr(
        "infra.stack.environment.load", lambda stack: Environment(outputs, aws("s3").meta.endpoint_url)
    )
    monkeypatch.setattr(Recording, "__init__", lambda *_: None)
    monkeypatch.setattr(Recording, "result", lambda _: estate("prod", "ec2"))
    monkeypatch.setattr(Recording, "close", lambda _: None)
    done = CliRunner().invoke(drift, ["--live", "prod", "--json"])
    verdicts = {one["verdict"] for one in json.loads(done.stdout)}
    assert (done.exit_code, verdicts) == (1, {"release", "recovery", "drift", "unasked"})
    text = CliRunner().invoke(drift, ["--live", "prod"]).output
    assert "\nunasked  aws:iam/role:Role: " in text
    assert " 0 without an answer; " in text


def test_the_second_region_is_asked_too(made: Estate) -> None:
    aws, found = made
    outputs, declared = StackOutputs(**found["outputs"]), estate("prod", "ec2")
    replica = next(
        one for one in declared.resources.values() if one.name == "backups-replica" and one.type == BUCKET
    )
    there = replica.at("region")
    assert there != outputs.region
    asked: list[tuple[str, str]] = []

    def watched(service: str, region: str) -> Any:
        asked.append((service, region))
        return aws(service, region)

    compare(declared, outputs, watched)
    assert {("s3", there), ("rds", there), ("kms", there)} <= set(asked)
    aws("s3", there).put_bucket_versioning(
        Bucket=replica.at("bucket"), VersioningConfiguration={"Status": "Suspended"}
    )
    drifted = [one for one in compare(declared, outputs, aws) if one.drift and one.name == "backups-replica"]
    assert [one.change for one in drifted] == ["Enabled → Suspended"]


def test_a_region_without_an_answer_is_told_and_is_no_clean_bill(made: Estate) -> None:
    aws, found = made
    outputs, declared = StackOutputs(**found["outputs"]), estate("prod", "ec2")

    def half(service: str, region: str) -> Any:
        if region == outputs.region:
            return aws(service, region)
        return boto3.client(  # type: ignore[call-overload,unused-ignore]
            service, region_name=region, endpoint_url=f"http://127.0.0.1:{free_port()}",
            config=Config(retries={"total_max_attempts": 1}), **EMULATED_CREDENTIALS,
        )  # fmt: skip

    silent = {one.name for one in compare(declared, outputs, half) if one.verdict == "unread"}
    assert {"replica", "backups-replica"} <= silent


def test_drift_without_anything_to_compare_is_bad_input() -> None:
    done = CliRunner().invoke(drift, [])
    assert done.exit_code == 2
    assert "--live STACK" in done.stderr
