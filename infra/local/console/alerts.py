"""Alerts as the page shows them: Prometheus knows them all, Alertmanager which of them are muted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from infra.local.console.sources import Sources, Unreachable, get_json

ORDER: Final = {"critical": 0, "high": 1, "warning": 2, "info": 3}
HEARTBEAT: Final = "Watchdog"


@dataclass(frozen=True, slots=True)
class Shown:
    """One alert."""

    name: str
    severity: str
    state: str
    """`firing`, `pending` (its condition holds, not yet long enough) or `muted`."""
    since: str
    """RFC 3339."""
    summary: str
    description: str
    labels: dict[str, str]


def current(sources: Sources) -> dict[str, Any]:
    """`alerts` in order of urgency, and whether alerting itself lives. Raises `Unreachable`."""
    found = get_json(sources.prometheus(), "/api/v1/alerts")["data"]["alerts"]
    try:
        told = get_json(sources.alertmanager(), "/api/v2/alerts?silenced=true&inhibited=true")
        delivered = True
    except Unreachable:
        told, delivered = [], False
    muted = {_key(one["labels"]) for one in told if one["status"]["state"] == "suppressed"}
    alerts = [_shown(one, muted) for one in found if one["labels"]["alertname"] != HEARTBEAT]
    alerts.sort(key=lambda one: (one.state != "firing", ORDER.get(one.severity, 4), one.since))
    return {
        "alerts": [asdict(one) for one in alerts],
        "heartbeat": any(one["labels"]["alertname"] == HEARTBEAT for one in found),
        "delivered": delivered,
    }


def _shown(one: dict[str, Any], muted: set[str]) -> Shown:
    labels, notes = one["labels"], one["annotations"]
    state = "muted" if one["state"] == "firing" and _key(labels) in muted else one["state"]
    return Shown(
        name=labels["alertname"],
        severity=labels.get("severity", ""),
        state=state,
        since=one["activeAt"],
        summary=notes.get("summary", ""),
        description=notes.get("description", ""),
        labels=labels,
    )


def _key(labels: dict[str, str]) -> str:
    return json.dumps(labels, sort_keys=True)
