"""Where annotations point. A fork changes these two and runs `python -m alerts render`."""

from __future__ import annotations

from typing import Final

RUNBOOKS: Final = "https://github.com/superagent/superagent/blob/main/alerts/runbooks"
DASHBOARDS: Final = "https://grafana.superagent.example/d"


def runbook(alert: str) -> str:
    """The page that says what to do about `alert`."""
    return f"{RUNBOOKS}/{alert}.md"


def dashboard(uid: str) -> str:
    """A dashboard opened on the alert's environment (Prometheus expands the label)."""
    return f"{DASHBOARDS}/{uid}?var-environment={{{{ $labels.environment }}}}"
