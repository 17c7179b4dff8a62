"""The real prod program against a real AWS API: what it says there is what it declares here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.home import CHECKOUT
from infra.stack.addresses import TIERS, subnet
from infra.stack.configuration import load

Clients = Callable[[str], Any]
ZONES = ("eu-central-1a", "eu-central-1b", "eu-central-1c")

pytestmark = pytest.mark.component


@pytest.fixture
def made(aws: Clients, moto_endpoint: str, tmp_path: Path) -> dict[str, Any]:
    out = tmp_path / "made.json"
    command = [sys.executable, "-m", "tests.infra.local.estate_in_moto", moto_endpoint, str(out)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_prod_reads_back_as_declared(aws: Clients, made: dict[str, Any]) -> None:
    """One run, read from every side; it takes seconds, so the sides share it."""
    ec2, elb, s3 = aws("ec2"), aws("elbv2"), aws("s3")
    ids, outputs = made["ids"], made["outputs"]
    subnets_have_their_addresses_and_tables(ec2, ids, outputs)
    groups_reference_each_other(ec2, ids)
    listeners_are_as_declared(elb, outputs)
    buckets_are_closed(s3, outputs["backup_bucket"])
    table = aws("dynamodb").describe_table(TableName=outputs["release_table"])["Table"]
    assert table["DeletionProtectionEnabled"] is True


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
    assert rules("alb", "IpPermissions") == {443: ["0.0.0.0/0"], 80: ["0.0.0.0/0"], 8443: ["10.73.0.0/16"]}


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
