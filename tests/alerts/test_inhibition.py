"""On a live Alertmanager: what the one alert silences, and what it must not."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local import parts, prometheus, scrape
from tests.monitoring import tool
from tests.parts import free_port, wait_until
from tests.webhook import Webhook, webhook

pytestmark = pytest.mark.component


class Live:
    """A running Alertmanager with the committed routes, and the receiver behind all of them."""

    def __init__(self, url: str, hook: Webhook) -> None:
        self.url = url
        self.hook = hook

    def fire(self, *alerts: dict[str, str]) -> None:
        body = json.dumps([{"labels": labels, "annotations": {"summary": "s"}} for labels in alerts])
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v2/alerts", body.encode(), headers)
        urllib.request.urlopen(request, timeout=5).close()

    def muted(self) -> set[tuple[str, str]]:
        """Name and environment of every alert that another one silences now."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return {
            (one["labels"]["alertname"], one["labels"]["environment"])
            for one in found
            if one["status"]["inhibitedBy"]
        }


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    binary = parts.find("alertmanager") if tool("prometheus-alertmanager") else None
    assert binary is not None
    with webhook() as hook:
        document = scrape.alertmanager(hook.url)
        for route in (document["route"], *document["route"]["routes"]):
            route |= {"group_wait": "1s", "group_interval": "1s"}  # the routes as they are, only sooner
        (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(document))
        port = free_port()
        command = [
            *prometheus._prefix("alertmanager", binary),
            str(binary.path),
            f"--config.file={tmp_path / 'alertmanager.yml'}",
            f"--storage.path={tmp_path / 'data'}",
            "--cluster.listen-address=",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"

        def ready() -> bool:
            try:
                urllib.request.urlopen(f"{url}/-/ready", timeout=1).close()
            except (OSError, urllib.error.URLError):
                return False
            return True

        try:
            wait_until(ready, "Alertmanager is ready")
            yield Live(url, hook)
        finally:
            process.terminate()
            process.wait(10)


def alert(name: str, severity: str, environment: str = "prod", **labels: str) -> dict[str, str]:
    common = {"severity": severity, "team": "platform", "environment": environment}
    return {"alertname": f"SuperAgent{name}", **common, **labels}


def test_a_dead_service_silences_its_symptoms_in_its_own_environment_only(live: Live) -> None:
    live.fire(alert("ServiceDown", "critical"))
    wait_until(lambda: "SuperAgentServiceDown" in live.hook.firing(), "the cause arrived")
    live.fire(
        alert("InstanceDown", "warning", colour="blue", instance="a"),
        alert("ErrorRatioHigh", "high"),
        alert("ErrorRatioHigh", "high", "staging"),
        alert("DiskSpaceLow", "high", instance="a", mountpoint="/"),
    )
    wait_until(lambda: "SuperAgentDiskSpaceLow" in live.hook.firing(), "the unrelated one arrived")
    wait_until(lambda: len(live.muted()) == 2, "the symptoms are muted")
    assert live.muted() == {("SuperAgentInstanceDown", "prod"), ("SuperAgentErrorRatioHigh", "prod")}
    told = {(one["labels"]["alertname"], one["labels"]["environment"]) for one in live.hook.alerts}
    assert ("SuperAgentErrorRatioHigh", "staging") in told
    assert not told & live.muted()


def test_a_provider_that_is_down_silences_its_own_breaker_and_no_other(live: Live) -> None:
    live.fire(alert("ProviderDown", "high", provider="claude"))
    wait_until(lambda: "SuperAgentProviderDown" in live.hook.firing(), "the cause arrived")
    live.fire(
        alert("BreakerOpen", "warning", provider="claude"), alert("BreakerOpen", "warning", provider="gemini")
    )
    wait_until(lambda: "SuperAgentBreakerOpen" in live.hook.firing(), "the other breaker arrived")
    told = {one["labels"].get("provider") for one in live.hook.alerts if "Breaker" in str(one["labels"])}
    assert told == {"gemini"}


def test_each_severity_reaches_its_own_receiver(live: Live) -> None:
    live.fire(
        alert("ServiceDown", "critical", "staging"),
        alert("BackupMissing", "critical"),
        alert("DrillFailed", "high"),
        alert("CpuHigh", "warning", instance="a"),
        alert("VersionChanged", "info", colour="blue", version="v2"),
    )
    wait_until(lambda: len(live.hook.firing()) == 5, "all five arrived")
    heard = {
        one["labels"]["alertname"].removeprefix("SuperAgent"): one["receiver"] for one in live.hook.alerts
    }
    assert heard == {
        "ServiceDown": "office-hours",
        "BackupMissing": "page",
        "DrillFailed": "office-hours",
        "CpuHigh": "tickets",
        "VersionChanged": "deployments",
    }
