"""What the tools tell Prometheus (names: docs/architecture.md). Gauges come from the bucket, so that a lost
metrics folder loses nothing; the failure counter lives on in the file itself.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.parser import text_string_to_metric_families

from infra import metrics
from infra.recovery import catalog, ledger
from infra.recovery.manifest import Kind
from infra.recovery.store import Store

KINDS: tuple[Kind, ...] = ("postgres", "redis", "config")


def publish_backups(store: Store, environment: str, folder: Path) -> Path:
    """Write the state of all backups as the bucket has it."""
    return _write_backups(_facts(store), _failures(folder, environment), environment, folder)


def count_failure(environment: str, folder: Path, kind: Kind) -> Path:
    """Add a failure of that kind; the rest stays as it was told last, because S3 may be what failed."""
    failures = _failures(folder, environment)
    failures[kind] = failures.get(kind, 0.0) + 1
    return _write_backups(_told(folder, environment), failures, environment, folder)


def _write_backups(
    facts: dict[tuple[str, Kind], float], before: dict[Kind, float], environment: str, folder: Path
) -> Path:
    registry = CollectorRegistry()
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
    for kind in KINDS:
        failures.labels(environment, kind).inc(before.get(kind, 0.0))
    gauges = {"success": success, "verified": verified, "size": size, "duration": duration}
    for (name, kind), value in facts.items():
        gauges[name].labels(environment, kind).set(value)
    return metrics.publish(registry, folder, f"backup_{environment}")


def _facts(store: Store) -> dict[tuple[str, Kind], float]:
    facts: dict[tuple[str, Kind], float] = {}
    for kind in KINDS:
        found = [entry.id for entry in catalog.entries(store, kind)]
        if not found:
            continue
        newest = catalog.read(store, kind, found[-1])
        facts["success", kind] = _seconds(newest.snapshot_at)
        facts["size", kind] = newest.size
        facts["duration", kind] = newest.duration_seconds
        good = ledger.newest_verified(store, kind, found)
        if good:
            facts["verified", kind] = _seconds(catalog.read(store, kind, good).snapshot_at)
    return facts


def publish_drill(environment: str, folder: Path, passed: bool, at: float, rpo: float, rto: float) -> Path:
    """Write the outcome of a drill; a failed one keeps the time of the last that passed."""
    registry = CollectorRegistry()
    label = ("environment",)
    last = at if passed else _last_drill(folder, environment)
    if last:
        Gauge(
            "superagent_drill_last_success_timestamp_seconds",
            "When a drill last passed.", label, registry=registry,
        ).labels(environment).set(last)  # fmt: skip
    Gauge(
        "superagent_drill_last_result", "1 when the last drill passed, else 0.", label, registry=registry
    ).labels(environment).set(float(passed))
    Gauge(
        "superagent_drill_rpo_seconds",
        "Age of the restored data when the drill began.", label, registry=registry,
    ).labels(environment).set(rpo)  # fmt: skip
    Gauge(
        "superagent_drill_rto_seconds",
        "From the start of the drill to a service that answers on the restored data.",
        label, registry=registry,
    ).labels(environment).set(rto)  # fmt: skip
    return metrics.publish(registry, folder, f"drill_{environment}")


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _samples(path: Path, name: str) -> list[tuple[dict[str, str], float]]:
    if not path.exists():
        return []
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
        if sample.name == name
    ]


_GAUGES: dict[str, str] = {
    "success": "superagent_backup_last_success_timestamp_seconds",
    "verified": "superagent_backup_last_verified_timestamp_seconds",
    "size": "superagent_backup_size_bytes",
    "duration": "superagent_backup_duration_seconds",
}


def _told(folder: Path, environment: str) -> dict[tuple[str, Kind], float]:
    path = folder / f"superagent_backup_{environment}.prom"
    return {
        (name, kind): value
        for name, metric in _GAUGES.items()
        for labels, value in _samples(path, metric)
        for kind in KINDS
        if labels["kind"] == kind
    }


def _failures(folder: Path, environment: str) -> dict[Kind, float]:
    path = folder / f"superagent_backup_{environment}.prom"
    found = _samples(path, "superagent_backup_failures_total")
    return {kind: value for labels, value in found for kind in KINDS if labels["kind"] == kind}


def _last_drill(folder: Path, environment: str) -> float | None:
    path = folder / f"superagent_drill_{environment}.prom"
    found = _samples(path, "superagent_drill_last_success_timestamp_seconds")
    return found[0][1] if found else None
