from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local import scrape
from infra.local.ports import PREFERRED
from tests.monitoring import tool

PORTS = {name: preferred for name, (preferred, _) in PREFERRED.items()}


def job(name: str) -> dict[str, Any]:
    document = scrape.prometheus(PORTS, Path("/targets"))
    found: dict[str, Any] = next(j for j in document["scrape_configs"] if j["job_name"] == name)
    return found


def test_every_job_that_alerts_and_dashboards_name_is_scraped() -> None:
    exporters = yaml.safe_load((scrape.RULES.parent / "exporters.yml").read_text())
    not_scraped_here = {"tools", "postgres_replica", "any"}
    jobs = {j["job_name"] for j in scrape.prometheus(PORTS, Path("/targets"))["scrape_configs"]}
    assert set(exporters) - not_scraped_here <= jobs


def test_every_static_target_says_which_environment_it_is() -> None:
    for config in scrape.prometheus(PORTS, Path("/targets"))["scrape_configs"]:
        for group in config.get("static_configs", []):
            assert group["labels"]["environment"] == "local"


def test_a_probe_asks_the_load_balancer_as_a_client_would() -> None:
    front = job("blackbox")["static_configs"][0]
    assert front["targets"] == [f"http://127.0.0.1:{PORTS['api']}/health/ready"]
    assert front["labels"]["probe"] == "front"


def test_metrics_that_name_their_own_colour_keep_it() -> None:
    assert job("superagent")["honor_labels"] is True
    assert job("node")["honor_labels"] is True
    assert "honor_labels" not in job("postgres")


def test_nobody_is_told_without_a_webhook_and_everybody_by_one() -> None:
    assert all(list(receiver) == ["name"] for receiver in scrape.alertmanager(None)["receivers"])
    told = scrape.alertmanager("http://127.0.0.1:9/hook")["receivers"]
    assert {r["webhook_configs"][0]["url"] for r in told} == {"http://127.0.0.1:9/hook"}


@pytest.mark.parametrize(
    ("name", "document", "command"),
    [
        ("prometheus.yml", scrape.prometheus(PORTS, Path("/targets")), ("promtool", "check", "config")),
        ("alertmanager.yml", scrape.alertmanager("http://127.0.0.1:9/"), ("amtool", "check-config")),
    ],
)
def test_the_programs_accept_their_configuration(
    tmp_path: Path, name: str, document: dict[str, Any], command: tuple[str, ...]
) -> None:
    path = tmp_path / name
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    done = subprocess.run([tool(command[0]), *command[1:], path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
