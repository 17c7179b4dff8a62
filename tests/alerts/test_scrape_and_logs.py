from __future__ import annotations

import json
import subprocess
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from alerts.files import ROOT
from tests.monitoring import tool
from tests.promql import exporters

VALUES = {
    "region": "eu-central-1",
    "workspace": "ws-1",
    "environment": "prod",
    "domain": "api.example.com",
    "metrics_port": "9464",
    "namespace": "superagent",
}
SCRAPES = sorted((ROOT / "scrape").glob("*.yml"))
SEEN_FROM_AWS = {"superagent", "node", "postgres", "redis", "blackbox"}


def filled(path: Path) -> str:
    return Template(path.read_text()).substitute(VALUES)


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    return {job["job_name"]: job for job in yaml.safe_load(filled(path))["scrape_configs"]}


def labels_set(job: dict[str, Any]) -> set[str]:
    fixed = {name for group in job.get("static_configs", []) for name in group["labels"]}
    return fixed | {rule["target_label"] for rule in job.get("relabel_configs", []) if "target_label" in rule}


@pytest.mark.parametrize("path", SCRAPES, ids=lambda path: path.stem)
def test_prometheus_accepts_the_scrape_configuration(path: Path, tmp_path: Path) -> None:
    document = yaml.safe_load(filled(path))
    for job in document["scrape_configs"]:
        # Debian's build knows no Kubernetes; everything else about the job is checked all the same.
        if job.pop("kubernetes_sd_configs", None):
            job["file_sd_configs"] = [{"files": ["pods.json"]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(document))
    agent = ["--agent"] if "remote_write" in document else []
    command = [tool("promtool"), "check", "config", *agent, tmp_path / "prometheus.yml"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SCRAPES, ids=lambda path: path.stem)
def test_every_job_gives_its_targets_the_labels_that_alerts_select_by(path: Path) -> None:
    found = jobs(path)
    assert set(found) == SEEN_FROM_AWS
    for name, job in found.items():
        wanted = {"environment", *exporters()[name]["target_labels"]}
        assert wanted <= labels_set(job), name


def test_the_agent_signs_what_it_writes() -> None:
    (write,) = yaml.safe_load(filled(ROOT / "scrape" / "ec2.yml"))["remote_write"]
    assert write["sigv4"] == {"region": "eu-central-1"}
    assert write["url"].startswith("https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/")


def test_logs_go_to_the_services_group_as_the_json_they_are() -> None:
    agent = json.loads(Template((ROOT / "logs" / "cloudwatch.json").read_text()).substitute(VALUES))
    (file,) = agent["logs"]["logs_collected"]["files"]["collect_list"]
    assert file["log_group_name"] == "/superagent/prod/service"
    beat = yaml.safe_load((ROOT / "logs" / "filebeat.yml").read_text())
    assert {"ndjson", "container"} == {name for one in beat["filebeat.inputs"][0]["parsers"] for name in one}


def test_no_credential_stands_in_a_shipping_configuration() -> None:
    beat = yaml.safe_load((ROOT / "logs" / "filebeat.yml").read_text())
    assert beat["output.elasticsearch"]["api_key"] == "${ELASTICSEARCH_API_KEY}"
