"""`superagent_backup_*` and `superagent_drill_*` (names: docs/architecture.md), made of facts alone.

Locally the tools leave them in text files, in AWS the exporter serves them (infra/exporter).
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from infra import console, metrics
from infra.errors import OperationFailed
from infra.recovery import facts, signing
from infra.recovery.context import Context
from infra.recovery.facts import Bucket, Drills, Newest
from infra.recovery.manifest import Kind
from infra.stack.environment import metrics_folder


def tell_backups(place: Context) -> None:
    """Write the state of all backups for the local collector; a warning when it cannot be read."""
    registry = CollectorRegistry()
    bucket = Bucket(place.store, kinds=facts.made_in(place.env.outputs.compute))
    try:
        register_backups(registry, place.name, bucket.backups(), facts.failures(place.lease_table()))
    except OperationFailed as failed:
        console.warn(f"The metrics of the backups are as before: {failed.message}")
        return
    metrics.publish(registry, metrics_folder(), f"backup_{place.name}")


def tell_failure(place: Context, kind: Kind) -> None:
    """Count a backup that did not come about, and say so to the local collector."""
    try:
        facts.count_failure(place.lease_table(), kind)
    except OperationFailed as failed:
        console.warn(failed.message)
        return
    tell_backups(place)


def tell_drill(place: Context) -> None:
    """Write the outcome of the last drill for the local collector; a warning when it cannot be read."""
    registry = CollectorRegistry()
    try:
        register_drills(registry, place.name, Bucket(place.store, signing.checker(place)).drills())
    except OperationFailed as failed:
        console.warn(f"The metrics of the drills are as before: {failed.message}")
        return
    metrics.publish(registry, metrics_folder(), f"drill_{place.name}")


def register_backups(
    registry: CollectorRegistry,
    environment: str,
    backups: Mapping[Kind, Newest],
    failed: Mapping[Kind, int],
) -> None:
    """Put the metrics of an environment's backups into `registry`; a kind without a backup has no age."""
    labels = ("environment", "kind")
    success = Gauge(
        "superagent_backup_last_success_timestamp_seconds",
        "Snapshot time of the newest backup.", labels, registry=registry,
    )  # fmt: skip
    verified = Gauge(
        "superagent_backup_last_verified_timestamp_seconds",
        "Snapshot time of the newest backup whose every object was read back.", labels, registry=registry,
    )  # fmt: skip
    size = Gauge(
        "superagent_backup_size_bytes", "Stored bytes of the newest backup.", labels, registry=registry
    )
    duration = Gauge(
        "superagent_backup_duration_seconds", "How long the newest backup took.", labels, registry=registry
    )
    failures = Counter(
        "superagent_backup_failures_total", "Backups that did not come about.", labels, registry=registry
    )
    for kind, count in failed.items():
        failures.labels(environment, kind).inc(count)
    for kind, newest in backups.items():
        success.labels(environment, kind).set(newest.taken)
        size.labels(environment, kind).set(newest.size)
        duration.labels(environment, kind).set(newest.seconds)
        if newest.verified is not None:
            verified.labels(environment, kind).set(newest.verified)


def register_drills(registry: CollectorRegistry, environment: str, drills: Drills | None) -> None:
    """Put the metrics of an environment's drills into `registry`; none when there was no drill."""
    if drills is None:
        return
    for name, told, value in (
        ("last_success_timestamp_seconds", "When a drill last passed.", drills.last_success),
        ("last_result", "1 when the last drill passed, else 0.", float(drills.passed)),
        ("rpo_seconds", "Age of the restored data when the drill began.", drills.rpo_seconds),
        (
            "rto_seconds",
            "From the start of the drill to a service that answers on the restored data.",
            drills.rto_seconds,
        ),
    ):
        if value is not None:
            gauge = Gauge(f"superagent_drill_{name}", told, ("environment",), registry=registry)
            gauge.labels(environment).set(value)
