"""What an alert and a recording rule are here, and how they look in a Prometheus rule file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from alerts import links

USERS: Final = 'path!~"/health/.*"'
"""Requests of people: a load balancer that asks for health many times a second proves nothing about them."""

Severity = Literal["critical", "high", "warning", "info", "none"]
"""critical pages at any hour; high waits for office hours; warning is a ticket; info is a note in the
channel; none is the Watchdog's."""

Team = Literal["platform", "data", "security"]
Dashboard = Literal[
    "superagent-production", "superagent-llm", "superagent-release", "superagent-recovery", "superagent-slo"
]


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. `expr` must keep the label `environment`: routing and inhibition stand on it."""

    name: str
    expr: str
    lasts: str
    """How long the condition holds before it fires (Prometheus duration, `0m` for at once)."""
    summary: str
    description: str
    team: Team = "platform"
    dashboard: Dashboard = "superagent-production"

    def rule(self, severity: Severity) -> dict[str, Any]:
        """The entry of a rule file."""
        return {
            "alert": self.name,
            "expr": tidy(self.expr),
            "for": self.lasts,
            "labels": {"severity": severity, "team": self.team},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": links.runbook(self.name),
                "dashboard_url": links.dashboard(self.dashboard),
            },
        }


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording rule; the name says `labels kept:metric:operation`."""

    name: str
    expr: str

    def rule(self) -> dict[str, Any]:
        """The entry of a rule file."""
        return {"record": self.name, "expr": tidy(self.expr)}


def tidy(expr: str) -> str:
    """Drop the indentation that an expression has in Python source."""
    lines = [line.strip() for line in expr.strip().splitlines()]
    return "\n".join(lines)
