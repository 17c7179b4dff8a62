"""A cache comes back from its own snapshot as the group that it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from infra.errors import OperationFailed, UserError
from infra.recovery import elasticache, elasticache_restore
from infra.recovery.context import Context
from infra.recovery.store import Store
from infra.stack.environment import Environment
from tests.infra.recovery.test_redis_and_config import OUTPUTS
from tests.parts import REGION

SOURCE: dict[str, Any] = {
    "ReplicationGroupId": "cache", "Description": "c", "CacheNodeType": "cache.r7g.large", "Engine": "valkey",
    "AutomaticFailover": "enabled", "MultiAZ": "enabled", "TransitEncryptionEnabled": True,
    "TransitEncryptionMode": "required", "AtRestEncryptionEnabled": True, "AuthTokenEnabled": True,
    "KmsKeyId": "k", "SnapshotRetentionLimit": 7, "SnapshotWindow": "02:00-03:00",
    "MemberClusters": ["a", "b"], "NetworkType": "ipv4", "IpDiscovery": "ipv4",
    "LogDeliveryConfigurations": [{"LogType": "slow-log", "DestinationType": "cloudwatch-logs",
        "DestinationDetails": {"CloudWatchLogsDetails": {"LogGroup": "/slow"}}, "LogFormat": "json",
        "Status": "active"}],
}  # fmt: skip
FACTS: dict[str, Any] = {
    "SnapshotName": "nightly", "EngineVersion": "8.2", "Port": 6379, "CacheParameterGroupName": "tuned",
    "CacheSubnetGroupName": "data", "PreferredMaintenanceWindow": "sun:02:30-sun:03:30", "TopicArn": "arn:t",
    "AutoMinorVersionUpgrade": False,
}  # fmt: skip


def test_a_restored_cache_is_asked_for_with_every_attribute() -> None:
    call = elasticache.restore_arguments(SOURCE, FACTS, "new", ["sg-1"], "token")
    assert call == {
        "ReplicationGroupId": "new", "ReplicationGroupDescription": "c", "SnapshotName": "nightly",
        "CacheNodeType": "cache.r7g.large", "Engine": "valkey", "EngineVersion": "8.2", "Port": 6379,
        "CacheParameterGroupName": "tuned", "CacheSubnetGroupName": "data", "SecurityGroupIds": ["sg-1"],
        "PreferredMaintenanceWindow": "sun:02:30-sun:03:30", "NotificationTopicArn": "arn:t",
        "AutomaticFailoverEnabled": True, "MultiAZEnabled": True, "TransitEncryptionEnabled": True,
        "TransitEncryptionMode": "required", "AtRestEncryptionEnabled": True, "AuthToken": "token",
        "KmsKeyId": "k", "SnapshotRetentionLimit": 7, "SnapshotWindow": "02:00-03:00", "NumCacheClusters": 2,
        "AutoMinorVersionUpgrade": False, "NetworkType": "ipv4", "IpDiscovery": "ipv4",
        "LogDeliveryConfigurations": [{"LogType": "slow-log", "DestinationType": "cloudwatch-logs",
            "DestinationDetails": {"CloudWatchLogsDetails": {"LogGroup": "/slow"}}, "LogFormat": "json"}],
    }  # fmt: skip
    known = boto3.client("elasticache", region_name=REGION).meta.service_model.operation_model(
        "CreateReplicationGroup"
    )
    assert set(call) <= set(known.input_shape.members)


@pytest.fixture
def place(aws: Callable[[str], Any], moto_endpoint: str) -> Context:
    aws("elasticache").create_replication_group(
        ReplicationGroupId="cache", ReplicationGroupDescription="c", Engine="valkey",
        CacheNodeType="cache.t4g.small", NumCacheClusters=2, AutomaticFailoverEnabled=True,
        MultiAZEnabled=True, TransitEncryptionEnabled=True, AtRestEncryptionEnabled=True, KmsKeyId="k",
        AuthToken="0123456789abcdef-secret", SnapshotRetentionLimit=7, SnapshotWindow="01:00-02:00",
        CacheSubnetGroupName="data", CacheParameterGroupName="tuned", SecurityGroupIds=["sg-1"],
    )  # fmt: skip
    outputs = replace(OUTPUTS, compute="ec2", environment="prod")
    return Context(Environment(outputs, moto_endpoint), Store(aws("s3"), "b"))


def perform(place: Context, **change: Any) -> dict[str, Any]:
    wish: dict[str, Any] = {
        "source": "elasticache:nightly", "group": None, "into": "new", "security_groups": ("sg-1",),
        "dry_run": False,
    }  # fmt: skip
    return elasticache_restore.perform(place, **(wish | change), poll=0)


@pytest.mark.component
def test_a_cache_comes_back_from_its_snapshot_and_a_second_try_goes_on(
    place: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = place.client("elasticache")
    assert elasticache.snapshot(client, "cache", "nightly", poll=0)["SnapshotStatus"] == "available"
    planned = perform(place, dry_run=True)
    assert "AuthToken" not in planned["attributes"]
    with pytest.raises(UserError, match="cache_token"):
        perform(place)
    (tmp_path / "token").write_text("0123456789abcdef-secret")
    monkeypatch.setenv("SUPERAGENT_CACHE_TOKEN_FILE", str(tmp_path / "token"))
    for _ in range(2):
        report = perform(place)
    assert report["target"] == planned["target"]
    assert "secret" not in str(report)
    old, new = (elasticache.describe(client, name) for name in ("cache", report["target"]))
    assert {name: old.get(name) for name in elasticache.SAME} == {
        name: new.get(name) for name in elasticache.SAME
    }
    assert new["AuthTokenEnabled"] is True
    assert len(client.describe_replication_groups()["ReplicationGroups"]) == 2
    with pytest.raises(UserError, match="There is a replication group cache already"):
        perform(place, into="cache")


@pytest.mark.component
def test_what_is_not_there_is_named(place: Context) -> None:
    client = place.client("elasticache")
    with pytest.raises(UserError, match="no replication group 'nope'"):
        elasticache.describe(client, "nope")
    with pytest.raises(UserError, match="no ElastiCache snapshot 'nightly'"):
        perform(place)
    elasticache.snapshot(client, "cache", "nightly", poll=0)
    with pytest.raises(UserError, match="security groups of cache are not known"):
        perform(place, security_groups=())


@pytest.mark.component
def test_a_group_that_came_back_different_is_not_called_restored(place: Context) -> None:
    client = place.client("elasticache")
    elasticache.snapshot(client, "cache", "nightly", poll=0)
    source = elasticache.describe(client, "cache") | {"SnapshotRetentionLimit": 35}
    facts = elasticache.describe_snapshot(client, "nightly")
    call = elasticache.restore_arguments(source, facts, "new", ["sg-1"], None)
    with pytest.raises(OperationFailed, match="AuthTokenEnabled is False, not True"):
        elasticache.restore(client, source, call, poll=0)


def test_an_export_goes_to_the_bucket_and_a_refusal_is_told() -> None:
    # The emulator has no CopySnapshot: the calls are checked against botocore's model of the API.
    client = boto3.client("elasticache", region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b")
    copy = {"SourceSnapshotName": "n", "TargetSnapshotName": "n-export", "TargetBucket": "bucket"}
    with Stubber(client) as stub:
        stub.add_response("copy_snapshot", {"Snapshot": {"SnapshotStatus": "copying"}}, copy)
        for status in ("exporting", "available"):
            found = {"Snapshots": [{"SnapshotName": "n", "SnapshotStatus": status}]}
            stub.add_response("describe_snapshots", found, {"SnapshotName": "n"})
        assert elasticache.export(client, "n", "bucket", poll=0) == "n-export"
        stub.add_client_error("copy_snapshot", "InvalidParameterValue", "no permission", 400)
        with pytest.raises(OperationFailed, match="does not export to bucket: InvalidParameterValue"):
            elasticache.export(client, "n", "bucket", poll=0)
        stub.assert_no_pending_responses()
