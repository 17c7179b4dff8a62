"""One routing model, three Alertmanagers: open source, Amazon Managed Prometheus, and the local one.

Pure: model in, document out. Sources: Alertmanager's configuration page; Amazon Managed Service for
Prometheus, "Setting up your alert manager" (only sns and pagerduty receivers, no `global` section,
`sigv4.region` required).
"""

from __future__ import annotations

import json
from typing import Any, Final

from alerts.routing import CHANNELS, DEFAULT, GROUP_BY, INHIBITIONS, INTERVALS, ROUTES, Channel, Route

SECRETS: Final = "/etc/alertmanager/secrets"
"""Folder of `slack_url` and `pagerduty_key` beside the open-source Alertmanager."""

DEAD_MAN: Final = "http://127.0.0.1:9095/watchdog"
"""Relay that knows the dead man's switch's secret address, because Alertmanager 0.25 takes no URL by file."""

TITLE: Final = (
    '{{ if eq .Status "firing" }}{{ .CommonLabels.severity }}{{ else }}resolved{{ end }}: '
    "{{ .CommonLabels.alertname }} ({{ .CommonLabels.environment }})"
)
TEXT: Final = (
    "{{ range .Alerts }}{{ .Annotations.summary }}\n{{ .Annotations.description }}\n"
    "Runbook: {{ .Annotations.runbook_url }}\nDashboard: {{ .Annotations.dashboard_url }}\n{{ end }}"
)


def open_source(secrets: str = SECRETS, dead_man_url: str = DEAD_MAN) -> dict[str, Any]:
    """The file of an open-source Alertmanager >= 0.25; secrets stay in files under `secrets`."""

    def receiver(channel: Channel) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        if channel.slack:
            parts["slack_configs"] = [
                {
                    "api_url_file": f"{secrets}/slack_url",
                    "channel": channel.slack,
                    "send_resolved": True,
                    "title": TITLE,
                    "text": TEXT,
                }
            ]
        if channel.pagerduty:
            parts["pagerduty_configs"] = [
                {
                    "routing_key_file": f"{secrets}/pagerduty_key",
                    "description": TITLE,
                    "severity": "{{ .CommonLabels.severity }}",
                    "details": {"alerts": TEXT},
                }
            ]
        if channel.heartbeat:
            parts["webhook_configs"] = [{"url": dead_man_url, "send_resolved": False}]
        return parts

    return _document(receiver)


def local(webhook_url: str | None = None) -> dict[str, Any]:
    """The file of the local Alertmanager: same routes; every receiver is `webhook_url`, or silent."""

    def receiver(channel: Channel) -> dict[str, Any]:
        return {"webhook_configs": [{"url": webhook_url, "send_resolved": True}]} if webhook_url else {}

    document = _document(receiver)
    for route in document["route"]["routes"]:
        route.pop("active_time_intervals", None)  # a test at night must see what office hours would
    return document


def managed(topic_arn: str, region: str) -> dict[str, Any]:
    """The Amazon Managed Prometheus definition: one SNS topic; subscribers filter by the attributes
    `receiver` and `severity` (Slack by AWS Chatbot, PagerDuty by its SNS integration).
    """

    def receiver(channel: Channel) -> dict[str, Any]:
        reaches = "heartbeat" if channel.heartbeat else "pagerduty" if channel.pagerduty else "slack"
        return {
            "sns_configs": [
                {
                    "topic_arn": topic_arn,
                    "sigv4": {"region": region},
                    "send_resolved": not channel.heartbeat,
                    "subject": TITLE,
                    "message": TEXT,
                    "attributes": {
                        "receiver": reaches,
                        "channel": channel.slack or "none",
                        "severity": '{{ or .CommonLabels.severity "mixed" }}',
                    },
                }
            ]
        }

    return _document(receiver)


def _document(receiver: Any) -> dict[str, Any]:
    return {
        "route": {
            **_route(DEFAULT),
            "group_by": list(GROUP_BY),
            "routes": [_route(route) for route in ROUTES],
        },
        "time_intervals": [
            {"name": name, "time_intervals": intervals} for name, intervals in INTERVALS.items()
        ],
        "inhibit_rules": [
            {
                "source_matchers": list(rule.source),
                "target_matchers": list(rule.target),
                "equal": list(rule.equal),
            }
            for rule in INHIBITIONS
        ],
        "receivers": [{"name": name, **receiver(channel)} for name, channel in CHANNELS.items()],
    }


def _route(route: Route) -> dict[str, Any]:
    entry: dict[str, Any] = {"receiver": route.receiver}
    if route.matchers:
        entry["matchers"] = list(route.matchers)
    entry |= {
        "group_wait": route.group_wait,
        "group_interval": route.group_interval,
        "repeat_interval": route.repeat,
    }
    if route.only_during:
        entry["active_time_intervals"] = [route.only_during]
    if route.goes_on:
        entry["continue"] = True
    return json.loads(json.dumps(entry))  # type: ignore[no-any-return]  # a copy that shares no list
