"""RDS: snapshots, and a new instance from a snapshot or as of a moment, with every attribute read back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from infra import console
from infra.errors import OperationFailed, UserError
from infra.recovery import rds_attributes

WAIT_SECONDS: Final = 4 * 3600.0
POLL_SECONDS: Final = 15.0
HOPELESS: Final = frozenset({
    "failed", "restore-error", "inaccessible-encryption-credentials", "insufficient-capacity",
    *(f"incompatible-{what}" for what in ("create", "credentials", "network", "option-group", "parameters",
                                          "restore")),
})  # fmt: skip
"""States that nothing leaves by itself (RDS user guide, "Viewing DB instance status")."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A new instance that is what the source was."""

    instance: str
    source: str
    endpoint: str
    attributes: int
    """How many were compared and found equal."""
    seconds: float


def describe(rds: Any, instance: str) -> dict[str, Any]:
    """The instance; `UserError` when there is none of that name."""
    try:
        found: dict[str, Any] = rds.describe_db_instances(DBInstanceIdentifier=instance)["DBInstances"][0]
    except rds.exceptions.DBInstanceNotFoundFault:
        raise UserError(
            f"There is no RDS instance {instance!r}.",
            "Name it with `--instance`; `aws rds describe-db-instances` lists them.",
        ) from None
    return found


def window(rds: Any, instance: str) -> tuple[datetime | None, datetime | None]:
    """First and last moment that point-in-time recovery reaches."""
    backups = rds.describe_db_instance_automated_backups(DBInstanceIdentifier=instance)
    reach = [item.get("RestoreWindow", {}) for item in backups["DBInstanceAutomatedBackups"]]
    first = min((item["EarliestTime"] for item in reach if "EarliestTime" in item), default=None)
    last = max((item["LatestTime"] for item in reach if "LatestTime" in item), default=None)
    return first, last or describe(rds, instance).get("LatestRestorableTime")


def snapshot(rds: Any, instance: str, name: str, poll: float = POLL_SECONDS) -> dict[str, Any]:
    """Take a snapshot and wait until it is available."""
    source = describe(rds, instance)
    made = rds.create_db_snapshot(
        DBInstanceIdentifier=instance, DBSnapshotIdentifier=name, Tags=source.get("TagList", [])
    )["DBSnapshot"]

    def status() -> str:
        nonlocal made
        made = rds.describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"][0]
        return str(made["Status"])

    _wait(status, f"snapshot {name}", poll)
    found: dict[str, Any] = made
    return found


def restore(
    rds: Any,
    wanted: dict[str, Any],
    target: str,
    source: str,
    snapshot_id: str | None = None,
    moment: datetime | None = None,
    poll: float = POLL_SECONDS,
) -> Restored:
    """Make `target` from a snapshot of, or as of a moment in, `source`; goes on with one that is on its way.

    `wanted` is `rds_attributes.of` the source, taken from RDS or from a configuration backup.
    """
    started = time.monotonic()
    arguments = rds_attributes.restore_arguments(wanted, to_time=snapshot_id is None)
    wish = snapshot_id or (moment.isoformat() if moment else "latest")
    mark = {"Key": rds_attributes.RESTORED_FROM, "Value": wish}
    arguments["Tags"] = [*arguments.get("Tags", []), mark]
    try:
        with console.step(f"Ask RDS for {target}"):
            if snapshot_id is not None:
                rds.restore_db_instance_from_db_snapshot(
                    DBInstanceIdentifier=target, DBSnapshotIdentifier=snapshot_id, **arguments
                )
            else:
                when = {"RestoreTime": moment} if moment else {"UseLatestRestorableTime": True}
                rds.restore_db_instance_to_point_in_time(
                    SourceDBInstanceIdentifier=source, TargetDBInstanceIdentifier=target, **when, **arguments
                )
    except ClientError as failed:
        error = failed.response["Error"]
        if error["Code"] not in ("DBInstanceAlreadyExists", "DBInstanceAlreadyExistsFault"):
            raise OperationFailed(f"RDS refuses the restore: {error['Code']}: {error['Message']}") from None
        if mark not in describe(rds, target).get("TagList", []):
            raise UserError(
                f"There is an RDS instance {target} already, and no restore of {wish} made it.",
                "Restore into another name with `--into NAME`.",
            ) from None
    with console.step(f"{target} becomes available"):
        _wait(lambda: str(describe(rds, target)["DBInstanceStatus"]), target, poll)
    actual = _mend(rds, target, wanted, poll)
    instance = describe(rds, target)
    endpoint = f"{instance['Endpoint']['Address']}:{instance['Endpoint']['Port']}"
    return Restored(target, source, endpoint, len(actual), round(time.monotonic() - started, 1))


def _mend(rds: Any, target: str, wanted: dict[str, Any], poll: float) -> dict[str, Any]:
    """Set what the restore call could not, read everything back, and refuse what is still different."""
    instance = describe(rds, target)
    different = rds_attributes.differences(wanted, rds_attributes.of(instance))
    if "Tags" in different:
        rds.add_tags_to_resource(
            ResourceName=instance["DBInstanceArn"],
            Tags=[{"Key": key, "Value": value} for key, value in different["Tags"][0].items()],
        )
    change = rds_attributes.modify_arguments(different)
    if change:
        with console.step(f"Set {', '.join(sorted(change))}"):
            rds.modify_db_instance(DBInstanceIdentifier=target, ApplyImmediately=True, **change)
            _wait(lambda: _settled(describe(rds, target)), target, poll)
    actual = rds_attributes.of(describe(rds, target))
    left = rds_attributes.differences(wanted, actual)
    if left:
        told = "; ".join(f"{name} is {have!r}, not {want!r}" for name, (want, have) in sorted(left.items()))
        raise OperationFailed(
            f"Instance {target} is not what {wanted.get('DBName', 'the source')} was: {told}."
        )
    return wanted


def _settled(instance: dict[str, Any]) -> str:
    pending = instance.get("PendingModifiedValues")
    return "modifying" if pending else str(instance["DBInstanceStatus"])


def _wait(status: Callable[[], str], what: str, poll: float) -> None:
    """Until `available`; a state that never ends well is told at once."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (now := status()) != "available":
        if now in HOPELESS:
            raise OperationFailed(f"{what} is {now}; see its events in RDS.")
        if time.monotonic() > deadline:
            raise OperationFailed(f"{what} is still {now} after {WAIT_SECONDS / 3600:.0f} h.")
        time.sleep(poll)


def new_name(source: str, moment: datetime | None = None) -> str:
    """Name of the instance that a restore makes; at most 63 characters, as RDS allows."""
    stamp = (moment or datetime.now(UTC)).strftime("%Y%m%d%H%M%S")
    return f"{source.split('-r2')[0][:46]}-r{stamp}"
