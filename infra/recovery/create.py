"""Backups of any kind, each under its lease."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infra import console
from infra.errors import OperationFailed, UserError
from infra.local.layout import layout
from infra.recovery import (
    backup as postgres_backup,
)
from infra.recovery import (
    base_backup,
    config_backup,
    cutover,
    failures,
    rds,
    rds_attributes,
    redis_backup,
    server,
    telemetry,
)
from infra.recovery.context import Context
from infra.recovery.lease import Lease, hold
from infra.recovery.manifest import Kind, Manifest


def each(place: Context, kinds: tuple[Kind, ...], kms_key: str | None) -> tuple[list[Manifest], list[str]]:
    """What was made, and why the rest was not: a kind that fails is no reason to go without the others."""
    made, failures = [], []
    for kind in kinds:
        try:
            made.append(one(place, kind, kms_key))
        except OperationFailed as failed:
            failures.append(failed.message)
    return made, failures


def one(place: Context, kind: Kind, kms_key: str | None) -> Manifest:
    """One backup under its lease; a failure is counted before it is raised."""
    work: dict[Kind, Callable[..., Manifest]] = {
        "postgres": lambda draft, lease: postgres_backup.postgres(draft, place.database(), lease),
        "redis": lambda draft, lease: redis_backup.create(draft, place.redis_url(), lease),
        "config": lambda draft, lease: config_backup.create(draft, _configuration(place), lease),
        "base": lambda draft, lease: _base(place, draft, lease),
    }
    try:
        with (
            failures.told(f"The backup of {kind}"),
            console.step(f"Back up {kind}"),
            hold(place.lease_table(), f"backup {kind}") as lease,
        ):
            draft = postgres_backup.Draft(place.store, kind, place.name, place.kms, kms_key)
            return work[kind](draft, lease)
    except OperationFailed:
        telemetry.tell_failure(place, kind)
        raise


def _base(place: Context, draft: postgres_backup.Draft, lease: Lease) -> Manifest:
    if not place.local:
        raise UserError("Base backups are local.", "In AWS, RDS keeps a point-in-time window by itself.")
    admin = server.administrator(place)
    system = base_backup.enable_archiving(
        layout(), admin, place.env.endpoint or "", place.store.bucket, place.env.outputs.region
    )
    return base_backup.create(draft, admin, system, place.database().name, lease)


def _configuration(place: Context) -> dict[str, Any]:
    instance = None
    if not place.local and (now := cutover.pointer(place)):
        # When the instance is gone, nobody else remembers what it was.
        instance = rds_attributes.of(rds.describe(place.client("rds"), now.instance))
    return config_backup.collect(place.env.outputs, place.client("ssm"), place.lease_table(), instance)
