from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from alerts.files import ROOT
from infra.stack.bootstrap import collector
from tests.infra.estates import estate
from tests.infra.stack.test_bootstrap import WITH_JOBS
from tests.monitoring import tool
from tests.promql import exporters

VALUES = {
    "region": "eu-central-1",
    "workspace": "ws-1",
    "environment": "prod",
    "domain": "api.example.com",
    "namespace": "superagent",
}
SCRAPES = sorted((ROOT / "scrape").glob("*.yml"))
BESIDE = {"node", "postgres", "redis", "blackbox"}
"""What the collectors of the stack do not scrape; they have the service and the tools."""


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
    assert set(found) == BESIDE
    for name, job in found.items():
        wanted = {"environment", *exporters()[name]["target_labels"]}
        assert wanted <= labels_set(job), name


def made(compute: str, kind: str, name: str) -> Mapping[str, Any]:
    [found] = [
        one.inputs
        for one in estate("prod", compute).resources.values()
        if one.type.endswith(f":{kind}") and one.name == name
    ]
    return found


def test_nothing_is_scraped_twice_and_nothing_that_alerts_read_is_left_out() -> None:
    """A second scrape of the service would double every rate: an alert on one would fire at half of it."""
    scraper = yaml.safe_load(made("eks", "Scraper", "pods")["scrapeConfiguration"])["scrape_configs"]
    receiver = collector(WITH_JOBS)["receivers"]["prometheus"]["config"]["scrape_configs"]
    for path, own in ((ROOT / "scrape" / "eks.yml", scraper), (ROOT / "scrape" / "ec2.yml", receiver)):
        names = [job["job_name"] for job in own]
        assert sorted([*names, *jobs(path)]) == sorted({*BESIDE, "superagent", "tools"})


def test_instances_are_found_by_the_tags_that_they_carry() -> None:
    """Names of tags tell upper from lower case."""
    tags = {tag["key"]: tag["value"] for tag in made("ec2", "Group", "fleet-blue")["tags"]}
    job = jobs(ROOT / "scrape" / "ec2.yml")["node"]
    (discovery,) = job["ec2_sd_configs"]
    filters = {one["name"]: one["values"] for one in discovery["filters"]}
    asked = {name.removeprefix("tag:"): values for name, values in filters.items() if name.startswith("tag:")}
    assert asked
    assert {name: [tags.get(name)] for name in asked} == asked
    read = {label for rule in job["relabel_configs"] for label in rule["source_labels"]}
    assert read <= {f"__meta_ec2_tag_{name}" for name in tags}


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
