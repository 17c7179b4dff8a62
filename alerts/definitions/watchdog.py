"""Fires always: when it stops arriving, the alerting itself is broken."""

from __future__ import annotations

from typing import Final

from alerts.model import Alert

ALERTS: Final = (
    Alert(
        "Watchdog",
        "group by (environment) (up)",
        "0m",
        "{{ $labels.environment }}: alerting works",
        "Always firing; the receiver raises the alarm when it stops.",
    ),
)
