from __future__ import annotations

import subprocess
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from alerts.files import ROOT
from alerts.groups import alert_rules
from alerts.render import local, managed, open_source
from alerts.routing import INHIBITIONS
from tests.monitoring import tool

OPEN = ROOT / "alertmanager" / "alertmanager.yml"


def routed(config: Path, **labels: str) -> str:
    pairs = [f"{name}={value}" for name, value in labels.items()]
    command = [tool("amtool"), "config", "routes", "test", f"--config.file={config}", *pairs]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module", params=["open source", "managed"])
def config(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration as either Alertmanager gets it."""
    if request.param == "open source":
        return OPEN
    path = tmp_path_factory.mktemp("amp") / "alertmanager.yml"
    path.write_text(inner_of_managed())
    return path


def inner_of_managed() -> str:
    text = (ROOT / "alertmanager" / "amp.yml").read_text()
    filled = Template(text).substitute(
        topic_arn="arn:aws:sns:eu-central-1:111122223333:alerts", region="eu-central-1"
    )
    inner: str = yaml.safe_load(filled)["alertmanager_config"]
    return inner


def test_alertmanager_accepts_the_configuration(config: Path) -> None:
    done = subprocess.run([tool("amtool"), "check-config", config], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("severity", "environment", "receiver"),
    [
        ("critical", "prod", "page"),
        ("critical", "staging", "office-hours"),
        ("high", "prod", "office-hours"),
        ("warning", "prod", "tickets"),
        ("info", "prod", "deployments"),
        ("unheard-of", "prod", "tickets"),
    ],
)
def test_severity_decides_who_hears(config: Path, severity: str, environment: str, receiver: str) -> None:
    assert (
        routed(config, alertname="Any", severity=severity, environment=environment, team="data") == receiver
    )


def test_a_breach_pattern_pages_and_tells_security(config: Path) -> None:
    labels = {"severity": "critical", "environment": "prod", "team": "security"}
    assert routed(config, alertname="SuperAgentSecurityBreachPattern", **labels) == "security,page"


def test_the_watchdog_feeds_the_dead_mans_switch_only(config: Path) -> None:
    labels = {"severity": "none", "environment": "prod", "team": "platform"}
    assert routed(config, alertname="Watchdog", **labels) == "dead-man"


def test_only_office_hours_wait_for_office_hours() -> None:
    limited = {
        route["receiver"]: route["active_time_intervals"]
        for route in open_source()["route"]["routes"]
        if "active_time_intervals" in route
    }
    assert limited == {"office-hours": ["office-hours"]}


def test_the_managed_form_has_only_what_the_managed_service_takes() -> None:
    inner = yaml.safe_load(inner_of_managed())
    assert set(inner) == {"route", "time_intervals", "inhibit_rules", "receivers"}
    for receiver in inner["receivers"]:
        assert set(receiver) == {"name", "sns_configs"}
        for sns in receiver["sns_configs"]:
            assert sns["sigv4"] == {"region": "eu-central-1"}
            assert "http_config" not in sns


def test_no_secret_stands_in_a_configuration() -> None:
    for document in (open_source(), managed("arn", "region"), local()):
        keys = set(_keys(document))
        assert not keys & {"api_url", "routing_key", "service_key", "password", "credentials"}


def test_inhibitions_name_alerts_that_exist_and_labels_that_all_of_them_have() -> None:
    rules = {rule["alert"]: rule["expr"] for rule in alert_rules()}
    for inhibition in INHIBITIONS:
        names = [
            name
            for matcher in (*inhibition.source, *inhibition.target)
            for name in matcher.split('"')[1].split("|")
        ]
        assert set(names) <= set(rules)
        for label in set(inhibition.equal) - {"environment"}:
            assert all(f"{label})" in rules[name] for name in names)


def test_the_local_form_keeps_every_route_and_sends_all_to_one_place() -> None:
    document = local("http://127.0.0.1:9/hook")
    assert [r["receiver"] for r in document["route"]["routes"]] == [
        r["receiver"] for r in open_source()["route"]["routes"]
    ]
    urls = {r["webhook_configs"][0]["url"] for r in document["receivers"]}
    assert urls == {"http://127.0.0.1:9/hook"}
    assert all("webhook_configs" not in receiver for receiver in local()["receivers"])


def _keys(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [key for name, value in node.items() for key in (name, *_keys(value))]
    if isinstance(node, list):
        return [key for value in node for key in _keys(value)]
    return []
