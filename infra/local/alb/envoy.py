"""Envoy as the controller meets it: the files it watches, its admin interface."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.local.alb import config
from infra.local.alb.config import Resources, Settings
from infra.local.alb.model import Target, TargetGroup
from infra.local.loopback import call

ADMIN_SECONDS: Final = 2.0


def write_bootstrap(folder: Path, admin_port: int, check_seconds: float = 1.0) -> Path:
    """Write what `envoy -c` is started with, and empty resources where none are yet; returns the file.

    Envoy reads the folder's files when it starts, so it comes back with the last state whoever else is down.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(str(folder.absolute()), check_seconds)
    for name in (config.CLUSTERS_FILE, config.LISTENERS_FILE):
        if not (folder / name).exists():
            write(folder / name, config.document([]))
    path = folder / "bootstrap.json"
    write(path, json.dumps(config.bootstrap(settings, admin_port), indent=1))
    return path


def envoy_command(binary: Path, folder: Path) -> list[str]:
    """How the supervisor starts Envoy on `folder`; two threads are enough here."""
    return [
        *(str(binary), "-c", str(folder.absolute() / "bootstrap.json")),
        *("--use-dynamic-base-id", "--concurrency", "2", "--log-level", "warning", "--drain-time-s", "1"),
    ]


def write(path: Path, text: str) -> bool:
    """Replace a file at once, if its content differs; Envoy watches for exactly that. True when it did."""
    if path.exists() and path.read_text() == text:
        return False
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)
    return True


def write_resources(folder: Path, found: Resources, clusters_known: Any) -> None:
    """Write in the order in which one names the other: endpoints, clusters, routes, listeners.

    `clusters_known()` is called before the routes when clusters changed; it waits until Envoy has them.
    """
    for name, text in found.endpoints.items():
        write(folder / name, text)
    if write(folder / config.CLUSTERS_FILE, found.clusters):
        clusters_known()
    for name, text in found.routes.items():
        write(folder / name, text)
    write(folder / config.LISTENERS_FILE, found.listeners)


def remove_leftovers(folder: Path, found: Resources) -> None:
    """Delete the files of target groups and listeners that are gone; nothing names them any more."""
    for path in folder.glob("[er]ds-*.json"):
        if path.name not in found.endpoints and path.name not in found.routes:
            path.unlink()


@dataclass(frozen=True, slots=True)
class Host:
    """One upstream address as Envoy sees it."""

    draining: bool
    pending: bool
    failed: bool
    timed_out: bool
    requests: int


class Admin:
    """Envoy's admin interface on loopback. `OSError` or `ValueError` when it does not answer."""

    def __init__(self, port: int) -> None:
        self._port = port

    def hosts(self) -> dict[str, dict[tuple[str, int], Host]]:
        """Hosts by cluster and address."""
        return parse_hosts(call(self._port, "GET", "/clusters?format=json", seconds=ADMIN_SECONDS))

    def rejected(self) -> int:
        """How many configuration updates Envoy has refused since it started (its log says why)."""
        found = call(self._port, "GET", "/stats?filter=update_rejected$&format=json", seconds=ADMIN_SECONDS)
        return sum(int(one.get("value", 0)) for one in found["stats"])


def parse_hosts(body: dict[str, Any]) -> dict[str, dict[tuple[str, int], Host]]:
    """`/clusters?format=json` as `Host`s."""
    found: dict[str, dict[tuple[str, int], Host]] = {}
    for cluster in body.get("cluster_statuses", []):
        hosts = found.setdefault(cluster["name"], {})
        for host in cluster.get("host_statuses", []):
            address = host["address"]["socket_address"]
            health = host.get("health_status", {})
            stats = {one["name"]: int(one.get("value", 0)) for one in host.get("stats", [])}
            hosts[address["address"], address["port_value"]] = Host(
                draining=health.get("eds_health_status") == "DRAINING",
                pending=health.get("pending_active_hc", False),
                failed=health.get("failed_active_health_check", False),
                timed_out=health.get("active_hc_timeout", False),
                requests=stats.get("rq_active", 0),
            )
    return found


def reports(
    groups: Iterable[TargetGroup],
    hosts: dict[str, dict[tuple[str, int], Host]],
    status_of: Callable[[TargetGroup, Target], int | None],
) -> dict[str, dict[str, dict[str, str | None]]]:
    """What `describe_target_health` should say, by target group and target.

    A target that Envoy does not know yet is left out. `status_of` asks a failing target for the status of its
    health check (`None`: no answer), which Envoy does not keep.
    """
    return {
        group.arn: {
            target.id: _report(hosts[group.name][target.id, target.port], group, target, status_of)
            for target in group.targets
            if (target.id, target.port) in hosts.get(group.name, {})
        }
        for group in groups
    }


def _report(
    host: Host,
    group: TargetGroup,
    target: Target,
    status_of: Callable[[TargetGroup, Target], int | None],
) -> dict[str, str | None]:
    if host.draining:
        state = ("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
        # AWS ends a deregistration early when nothing is in flight any more.
        return _state(*state) if host.requests else _state("unused", "Target.NotRegistered", None)
    if not group.health.enabled:
        return _state("unavailable", "Target.HealthCheckDisabled", "Health checks are disabled")
    if host.pending:
        return _state("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
    if host.timed_out:
        return _state("unhealthy", "Target.Timeout", "Request timed out")
    if host.failed:
        status = status_of(group, target)
        if status is None:
            return _state("unhealthy", "Target.FailedHealthChecks", "Health checks failed")
        failed = f"Health checks failed with these codes: [{status}]"
        return _state("unhealthy", "Target.ResponseCodeMismatch", failed)
    return _state("healthy", None, None)


def _state(state: str, reason: str | None, description: str | None) -> dict[str, str | None]:
    return {"state": state, "reason": reason, "description": description}
