"""The rule files: which definitions go into which group of which file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from alerts import burn_rate
from alerts.definitions import critical, high, info, recording, warning, watchdog
from alerts.model import Alert, Recording, Severity


@dataclass(frozen=True, slots=True)
class Group:
    """One group of one file; its rules are evaluated in order, every `interval`."""

    name: str
    interval: str
    rules: tuple[dict[str, Any], ...]

    def document(self) -> dict[str, Any]:
        """The rule file that holds only this group."""
        group = {"name": self.name, "interval": self.interval, "rules": list(self.rules)}
        return {"groups": [group]}


def _alerts(name: str, severity: Severity, found: Iterable[Alert]) -> Group:
    return Group(name, "15s", tuple(alert.rule(severity) for alert in found))


def _recordings(name: str, interval: str, found: Iterable[Recording]) -> Group:
    return Group(name, interval, tuple(rule.rule() for rule in found))


# file stem -> group; Prometheus evaluates groups side by side, so an alert may be one interval late.
GROUPS: Final[dict[str, Group]] = {
    "recording": _recordings("superagent-recording", "15s", recording.RECORDINGS),
    "slo": _recordings("superagent-slo", "15s", burn_rate.recordings()),
    "critical": _alerts("superagent-critical", "critical", (*critical.ALERTS, *burn_rate.alerts("Fast"))),
    "high": _alerts("superagent-high", "high", high.ALERTS),
    "warning": _alerts("superagent-warning", "warning", (*warning.ALERTS, *burn_rate.alerts("Slow"))),
    "info": _alerts("superagent-info", "info", info.ALERTS),
    "watchdog": _alerts("superagent-watchdog", "none", watchdog.ALERTS),
}


def alert_rules() -> list[dict[str, Any]]:
    """Every alerting rule of every file."""
    return [rule for group in GROUPS.values() for rule in group.rules if "alert" in rule]
