"""Parts of statuses as real API servers write them (sources: tests/infra/release/kube/controllers.py)."""

from __future__ import annotations

from typing import Any

NOW = "2026-01-05T10:00:00Z"


def container_status(
    container: dict[str, Any], state: dict[str, Any], last: dict[str, Any], ready: bool
) -> dict[str, Any]:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": f"{container['image'].partition(':')[0]}@sha256:{'0' * 64}",
        "ready": ready,
        "started": ready,
        "restartCount": 1 if last else 0,
        "state": state,
        "lastState": last,
    }


def pod_conditions(containers: bool, ready: bool) -> list[dict[str, Any]]:
    states = {"PodScheduled": True, "Initialized": True, "ContainersReady": containers, "Ready": ready}
    return [
        {"type": kind, "status": str(holds), "lastProbeTime": None, "lastTransitionTime": NOW}
        for kind, holds in states.items()
    ]


def condition(kind: str, status: str, reason: str, message: str, **more: str) -> dict[str, Any]:
    found = {"type": kind, "status": status, "reason": reason, "message": message}
    return {**found, "lastTransitionTime": NOW, **more}
