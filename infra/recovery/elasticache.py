"""ElastiCache: snapshots that are waited for, and a new replication group from one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from infra.errors import OperationFailed, UserError

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


def export(cache: Any, name: str, bucket: str) -> str:
    """Copy a snapshot as RDB files into the backup bucket; the name of the copy."""
    copy = f"{name}-export"
    cache.copy_snapshot(SourceSnapshotName=name, TargetSnapshotName=copy, TargetBucket=bucket)
    return copy


def restore_arguments(source: dict[str, Any], group: str, snapshot_name: str) -> dict[str, Any]:
    """Arguments of the new group: what the source was, each attribute named (pure)."""
    members = source.get("MemberClusters", [])
    arguments: dict[str, Any] = {
        "ReplicationGroupId": group,
        "ReplicationGroupDescription": source.get("Description") or group,
        "SnapshotName": snapshot_name,
        "CacheNodeType": source.get("CacheNodeType"),
        "Engine": source.get("Engine", "valkey"),
        "AutomaticFailoverEnabled": source.get("AutomaticFailover") in ("enabled", "enabling"),
        "MultiAZEnabled": source.get("MultiAZ") == "enabled",
        "TransitEncryptionEnabled": source.get("TransitEncryptionEnabled"),
        "AtRestEncryptionEnabled": source.get("AtRestEncryptionEnabled"),
        "KmsKeyId": source.get("KmsKeyId"),
        "SnapshotRetentionLimit": source.get("SnapshotRetentionLimit"),
        "SnapshotWindow": source.get("SnapshotWindow"),
        "NumCacheClusters": len(members) or None,
        "UserGroupIds": source.get("UserGroupIds"),
        "AutoMinorVersionUpgrade": source.get("AutoMinorVersionUpgrade"),
    }
    return {name: value for name, value in arguments.items() if value not in (None, [])}


def restore(
    cache: Any,
    source: dict[str, Any],
    group: str,
    snapshot_name: str,
    subnet_group: str,
    security_groups: list[str],
    parameter_group: str,
    poll: float = POLL_SECONDS,
) -> dict[str, Any]:
    """A new replication group from a snapshot; what the description of the old one lacks is passed in."""
    arguments = restore_arguments(source, group, snapshot_name) | {
        "CacheSubnetGroupName": subnet_group,
        "SecurityGroupIds": security_groups,
        "CacheParameterGroupName": parameter_group,
    }
    cache.create_replication_group(**arguments)
    _wait(lambda: str(describe(cache, group)["Status"]), group, poll)
    made = describe(cache, group)
    different = {
        name: (source.get(name), made.get(name))
        for name in (
            "CacheNodeType",
            "TransitEncryptionEnabled",
            "AtRestEncryptionEnabled",
            "MultiAZ",
            "KmsKeyId",
        )
        if source.get(name) is not None and source.get(name) != made.get(name)
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
