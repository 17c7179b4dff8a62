"""ElastiCache: snapshots that are waited for, and a new replication group from one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from botocore.exceptions import ClientError

from infra.errors import OperationFailed, UserError
from infra.recovery.rds_attributes import RESTORED_FROM

WAIT_SECONDS: Final = 2 * 3600.0
POLL_SECONDS: Final = 15.0


def describe(cache: Any, group: str) -> dict[str, Any]:
    """The replication group; `UserError` when there is none of that name."""
    try:
        answer = cache.describe_replication_groups(ReplicationGroupId=group)
    except cache.exceptions.ReplicationGroupNotFoundFault:
        raise UserError(f"There is no replication group {group!r}.", "Check its name.") from None
    found: dict[str, Any] = answer["ReplicationGroups"][0]
    return found


def snapshot(cache: Any, group: str, name: str, poll: float = POLL_SECONDS) -> dict[str, Any]:
    """Take a snapshot and wait until it is available."""
    describe(cache, group)
    cache.create_snapshot(ReplicationGroupId=group, SnapshotName=name)

    def found() -> dict[str, Any]:
        listed: dict[str, Any] = cache.describe_snapshots(SnapshotName=name)["Snapshots"][0]
        return listed

    _wait(lambda: str(found()["SnapshotStatus"]), f"snapshot {name}", poll)
    return found()


def export(cache: Any, name: str, bucket: str, poll: float = POLL_SECONDS) -> str:
    """Copy a snapshot as RDB files into the backup bucket and wait for it; the name of the copy.

    The bucket's policy must let ElastiCache write (ElastiCache user guide, "Exporting a backup").
    """
    copy = f"{name}-export"
    try:
        cache.copy_snapshot(SourceSnapshotName=name, TargetSnapshotName=copy, TargetBucket=bucket)
    except ClientError as failed:
        error = failed.response["Error"]
        raise OperationFailed(
            f"ElastiCache does not export to {bucket}: {error['Code']}: {error['Message']}"
        ) from None
    _wait(lambda: str(describe_snapshot(cache, name)["SnapshotStatus"]), f"export of {name}", poll)
    return copy


def describe_snapshot(cache: Any, name: str) -> dict[str, Any]:
    """A snapshot; `UserError` when there is none of that name."""
    try:
        listed = cache.describe_snapshots(SnapshotName=name)["Snapshots"]
    except cache.exceptions.SnapshotNotFoundFault:
        listed = []
    if not listed:
        raise UserError(
            f"There is no ElastiCache snapshot {name!r}.", "`aws elasticache describe-snapshots` lists them."
        )
    found: dict[str, Any] = listed[0]
    return found


SAME: Final = (
    *("CacheNodeType", "Engine", "AutomaticFailover", "MultiAZ", "TransitEncryptionEnabled"),
    *("AtRestEncryptionEnabled", "AuthTokenEnabled", "KmsKeyId", "SnapshotRetentionLimit"),
    *("SnapshotWindow", "ClusterEnabled", "NetworkType", "IpDiscovery", "DataTiering"),
)
"""What a description tells of a group: every one is compared with the old group's after a restore."""


def restore_arguments(
    source: dict[str, Any],
    facts: dict[str, Any],
    group: str,
    security_groups: list[str],
    token: str | None,
) -> dict[str, Any]:
    """Arguments of the new group (pure): what the old one was, each attribute named.

    `source` describes the group, `facts` its snapshot; `token` is the password of a group that has one.
    """
    members = source.get("MemberClusters", [])
    logs = [
        {name: one[name] for name in ("LogType", "DestinationType", "DestinationDetails", "LogFormat")}
        for one in source.get("LogDeliveryConfigurations", [])
    ]
    arguments: dict[str, Any] = {
        "ReplicationGroupId": group,
        "ReplicationGroupDescription": source.get("Description") or group,
        "SnapshotName": facts["SnapshotName"],
        "CacheNodeType": source.get("CacheNodeType"),
        "Engine": source.get("Engine", "valkey"),
        "EngineVersion": facts.get("EngineVersion"),
        "Port": facts.get("Port"),
        "CacheParameterGroupName": facts.get("CacheParameterGroupName"),
        "CacheSubnetGroupName": facts.get("CacheSubnetGroupName"),
        "SecurityGroupIds": security_groups,
        "PreferredMaintenanceWindow": facts.get("PreferredMaintenanceWindow"),
        "NotificationTopicArn": facts.get("TopicArn"),
        "AutomaticFailoverEnabled": source.get("AutomaticFailover") in ("enabled", "enabling"),
        "MultiAZEnabled": source.get("MultiAZ") == "enabled",
        "TransitEncryptionEnabled": source.get("TransitEncryptionEnabled"),
        "TransitEncryptionMode": source.get("TransitEncryptionMode"),
        "AtRestEncryptionEnabled": source.get("AtRestEncryptionEnabled"),
        "AuthToken": token,
        "KmsKeyId": source.get("KmsKeyId"),
        "SnapshotRetentionLimit": source.get("SnapshotRetentionLimit"),
        "SnapshotWindow": source.get("SnapshotWindow"),
        "NumCacheClusters": len(members) or None,
        "UserGroupIds": source.get("UserGroupIds"),
        "AutoMinorVersionUpgrade": facts.get("AutoMinorVersionUpgrade"),
        "NetworkType": source.get("NetworkType"),
        "IpDiscovery": source.get("IpDiscovery"),
        "LogDeliveryConfigurations": logs,
    }
    return {name: value for name, value in arguments.items() if value not in (None, [])}


def security_groups(cache: Any, source: dict[str, Any]) -> list[str]:
    """Of the group's first member: the description of a group does not name them."""
    for member in source.get("MemberClusters", [])[:1]:
        try:
            found = cache.describe_cache_clusters(CacheClusterId=member)["CacheClusters"][0]
        except cache.exceptions.CacheClusterNotFoundFault:
            return []
        return sorted(one["SecurityGroupId"] for one in found.get("SecurityGroups", []))
    return []


def restore(
    cache: Any, source: dict[str, Any], arguments: dict[str, Any], poll: float = POLL_SECONDS
) -> dict[str, Any]:
    """A new replication group that is what `source` was; goes on with one that is on its way."""
    group = arguments["ReplicationGroupId"]
    mark = {"Key": RESTORED_FROM, "Value": arguments["SnapshotName"]}
    found = False
    try:
        cache.create_replication_group(**arguments, Tags=[mark])
    except cache.exceptions.ReplicationGroupAlreadyExistsFault:
        found = True  # an interrupted run asked for it, or it is another's
    except ClientError as failed:
        error = failed.response["Error"]
        raise OperationFailed(
            f"ElastiCache refuses the restore: {error['Code']}: {error['Message']}"
        ) from None
    _wait(lambda: str(describe(cache, group)["Status"]), group, poll)
    made = describe(cache, group)
    # Only now: of a group that is being created ElastiCache tells no tags.
    if found and mark not in cache.list_tags_for_resource(ResourceName=made["ARN"])["TagList"]:
        raise UserError(
            f"There is a replication group {group} already, and no restore of {mark['Value']} made it.",
            "Restore into another name with `--into NAME`.",
        )
    different = {
        name: (source.get(name), made.get(name)) for name in SAME if source.get(name) != made.get(name)
    }
    if different:
        told = "; ".join(
            f"{name} is {have!r}, not {want!r}" for name, (want, have) in sorted(different.items())
        )
        raise OperationFailed(f"Replication group {group} is not what the old one was: {told}.")
    return made


def _wait(status: Callable[[], str], what: str, poll: float) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while (now := status()) != "available":
        if now in {"failed", "create-failed"}:
            raise OperationFailed(f"{what} is {now}; see its events in ElastiCache.")
        if time.monotonic() > deadline:
            raise OperationFailed(f"{what} is still {now} after {WAIT_SECONDS / 3600:.0f} h.")
        time.sleep(poll)
