"""Who hears of what, once; `alerts/render.py` turns it into the file of each Alertmanager."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Receiver = Literal["page", "office-hours", "tickets", "deployments", "security", "dead-man"]

OFFICE_HOURS: Final = "office-hours"
"""Monday to Friday, 08:00 to 18:00 UTC."""

GROUP_BY: Final = ("alertname", "environment")


@dataclass(frozen=True, slots=True)
class Channel:
    """What a receiver reaches."""

    slack: str | None = None
    """Slack channel; the webhook's URL is a secret file of the Alertmanager."""
    pagerduty: bool = False
    """Whether it opens a PagerDuty incident."""
    heartbeat: bool = False
    """Whether it feeds the dead man's switch instead of a person."""


CHANNELS: Final[dict[Receiver, Channel]] = {
    "page": Channel(slack="#superagent-incidents", pagerduty=True),
    "office-hours": Channel(slack="#superagent-alerts"),
    "tickets": Channel(slack="#superagent-tickets"),
    "deployments": Channel(slack="#superagent-deployments"),
    "security": Channel(slack="#superagent-security"),
    "dead-man": Channel(heartbeat=True),
}


@dataclass(frozen=True, slots=True)
class Route:
    """First match wins, unless it `goes_on`. Waits are Prometheus durations."""

    matchers: tuple[str, ...]
    receiver: Receiver
    group_wait: str = "30s"
    group_interval: str = "5m"
    repeat: str = "4h"
    only_during: str | None = None
    goes_on: bool = False


# Only production wakes people: a critical alert elsewhere waits for office hours.
ROUTES: Final = (
    Route(('alertname="Watchdog"',), "dead-man", group_wait="0s", group_interval="1m", repeat="5m"),
    Route(('team="security"', 'severity="critical"'), "security", group_wait="10s", goes_on=True),
    Route(('severity="critical"', 'environment="prod"'), "page", group_wait="10s", repeat="1h"),
    Route(('severity=~"critical|high"',), "office-hours", only_during=OFFICE_HOURS),
    Route(('severity="warning"',), "tickets", repeat="24h"),
    Route(('severity="info"',), "deployments", group_wait="0s", repeat="24h"),
)
DEFAULT: Final = Route((), "tickets")


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While `source` fires, `target` is silent where every label in `equal` is the same."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    equal: tuple[str, ...] = field(default=("environment",))


def _named(*alerts: str) -> tuple[str, ...]:
    names = "|".join(f"SuperAgent{alert}" for alert in alerts)
    return (f'alertname=~"{names}"',) if len(alerts) > 1 else (f'alertname="{names}"',)


# Labels in `equal` stand on every alert (tests hold it): two alerts that both lack one would match too.
INHIBITIONS: Final = (
    Inhibition(
        _named("ServiceDown"),
        _named(
            "InstanceDown", "ThroughputLow", "EndpointUnreachable", "ErrorRatioHigh", "ErrorRatioElevated",
            "LatencyHigh", "LatencyElevated",
        ),
    ),
    Inhibition(_named("ErrorRatioHigh"), _named("ErrorRatioElevated", "AvailabilityBudgetBurnSlow")),
    Inhibition(_named("LatencyHigh"), _named("LatencyElevated", "LatencyBudgetBurnSlow")),
    Inhibition(_named("AvailabilityBudgetBurnFast"), _named("AvailabilityBudgetBurnSlow")),
    Inhibition(_named("LatencyBudgetBurnFast"), _named("LatencyBudgetBurnSlow")),
    Inhibition(_named("ProvidersUnavailable"), _named("ProviderDown", "BreakerOpen")),
    Inhibition(_named("ProviderDown"), _named("BreakerOpen"), ("environment", "provider")),
    Inhibition(_named("DatabaseConnectionFailures"), _named("PostgresDown", "UsageJournalGrowing")),
    Inhibition(_named("DeploymentRunning"), _named("InstanceDown", "ConfigurationChanged")),
)  # fmt: skip

INTERVALS: Final[Mapping[str, list[dict[str, object]]]] = {
    OFFICE_HOURS: [
        {"weekdays": ["monday:friday"], "times": [{"start_time": "08:00", "end_time": "18:00"}]},
    ],
}
