"""What the cluster gets, checked with the schemas of the Kubernetes version that the settings name."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import kubernetes_validate
import pytest
import yaml

from infra.policy.model import Resource
from infra.stack.kubernetes_objects import COLOUR
from infra.stack.outputs import StackOutputs
from infra.stack.settings import Settings
from tests.infra.estates import estate, recorded

KINDS = {
    "Namespace", "ServiceAccount", "ConfigMap", "NetworkPolicy", "CronJob", "Deployment", "Service",
    "HorizontalPodAutoscaler", "PodDisruptionBudget",
}  # fmt: skip


def objects() -> list[Resource]:
    return [
        one
        for one in estate("prod", "eks").resources.values()
        if one.type.startswith("kubernetes:") and "helm" not in one.type and one.inputs.get("apiVersion")
    ]


def manifest(one: Resource) -> dict[str, Any]:
    return dict(one.inputs)


def test_every_object_fits_the_schema_of_the_clusters_version() -> None:
    version: str = Settings.model_fields["eks_version"].default
    checked = set()
    for one in objects():
        if one.inputs["kind"] == "TargetGroupBinding":
            continue
        kubernetes_validate.validate(manifest(one), version, strict=True)
        checked.add(one.inputs["kind"])
    assert checked == KINDS


def test_a_misspelled_field_would_not_pass() -> None:
    broken = manifest(next(one for one in objects() if one.inputs["kind"] == "Deployment"))
    broken["spec"] = {**broken["spec"], "replica": 1}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, Settings.model_fields["eks_version"].default, strict=True)


def deployment(colour: str) -> dict[str, Any]:
    found = next(one for one in objects() if one.inputs["kind"] == "Deployment" and one.name == colour)
    return manifest(found)


@pytest.mark.parametrize("colour", ["blue", "green"])
def test_a_pod_has_time_for_its_longest_stream(colour: str) -> None:
    pod = deployment(colour)["spec"]["template"]["spec"]
    leave = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    settings = next(
        one for one in objects() if one.inputs["kind"] == "ConfigMap" and one.name == "settings"
    ).inputs["data"]
    assert pod["terminationGracePeriodSeconds"] > leave + int(settings["SUPERAGENT_DRAIN_SECONDS"])


@pytest.mark.parametrize("colour", ["blue", "green"])
def test_selectors_never_mix_the_colours(colour: str) -> None:
    spec = deployment(colour)["spec"]
    assert spec["selector"]["matchLabels"][COLOUR] == colour
    assert spec["template"]["metadata"]["labels"][COLOUR] == colour
    for kind in ("Service", "PodDisruptionBudget"):
        one = next(one for one in objects() if one.inputs["kind"] == kind and one.name == colour)
        selector = one.inputs["spec"]["selector"]
        assert selector.get("matchLabels", selector)[COLOUR] == colour


@pytest.mark.parametrize("colour", ["blue", "green"])
def test_a_binding_registers_its_own_colour(colour: str) -> None:
    one = next(one for one in estate("prod", "eks").resources.values() if one.name == f"{colour}-targets")
    assert colour in one.inputs["spec"]["targetGroupARN"]
    assert one.inputs["spec"]["serviceRef"]["name"] == f"superagent-{colour}"


def test_pods_run_without_rights() -> None:
    pods = [deployment("blue")["spec"]["template"]["spec"]]
    job = next(one for one in objects() if one.inputs["kind"] == "CronJob")
    pods.append(job.inputs["spec"]["jobTemplate"]["spec"]["template"]["spec"])
    pods.append(deployment("exporter")["spec"]["template"]["spec"])
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        for one in [*pod.get("initContainers", []), *pod["containers"]]:
            assert one["securityContext"]["readOnlyRootFilesystem"] is True
            assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_every_job_of_the_schedule_runs_by_itself_with_what_it_needs() -> None:
    found = {one.name: manifest(one) for one in objects() if one.inputs["kind"] == "CronJob"}
    assert {name: one["spec"]["schedule"] for name, one in found.items()} == {
        "backup": "0 2 * * *",
        "backup-verify": "0 4 * * *",
        "backup-prune": "0 5 * * *",
        "drill": "0 6 * * sun",
    }
    known = next(one for one in objects() if one.inputs["kind"] == "ConfigMap" and one.name == "recovery")
    outputs = json.loads(known.inputs["data"]["outputs.json"])
    assert set(outputs) == {field.name for field in dataclasses.fields(StackOutputs)}
    for name, one in found.items():
        assert one["spec"]["suspend"], "there is no tools image"
        pod = one["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        assert pod["containers"][0]["args"] == ["schedule", "run", name, "--stack", "prod"]
        values = {item["name"]: item["value"] for item in pod["containers"][0]["env"]}
        assert values["SUPERAGENT_OUTPUTS_FILE"] == "/etc/superagent/recovery/outputs.json"
        assert values["SUPERAGENT_KEEP_POSTGRES_DAYS"] == "30"
        mounts = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        for path in (values["SUPERAGENT_OUTPUTS_FILE"], values["SUPERAGENT_DATABASE_OWNER_URL_FILE"]):
            assert path.rpartition("/")[0] in mounts


def test_a_change_of_the_outputs_starts_the_exporter_again() -> None:
    """It reads them when it starts: the old ones may name another bucket, or no key to check reports with."""
    changed = recorded("prod", {"compute": "eks", "release_bake_seconds": "77"})
    before, after = (
        one.inputs["spec"]["template"]["metadata"]["annotations"]
        for found in (estate("prod", "eks"), changed)
        for one in found.resources.values()
        if one.type.endswith(":Deployment") and one.name == "exporter"
    )
    assert before != after


def test_the_exporter_is_found_by_the_scraper_and_may_change_nothing() -> None:
    one = next(one for one in objects() if one.inputs["kind"] == "Deployment" and one.name == "exporter")
    assert one.inputs["spec"]["replicas"] == 0, "there is no tools image"
    pod = one.inputs["spec"]["template"]["spec"]
    (port,) = pod["containers"][0]["ports"]
    resources = estate("prod", "eks").resources.values()
    scraper = next(each for each in resources if each.type == "aws:amp/scraper:Scraper")
    jobs = {
        job["job_name"]: job
        for job in yaml.safe_load(scraper.inputs["scrapeConfiguration"])["scrape_configs"]
    }
    keep = {name: job["relabel_configs"][0]["regex"] for name, job in jobs.items()}
    assert keep == {"superagent": "metrics", "tools": port["name"]}
    policies = {each.name: str(each.inputs["policy"]) for each in resources if each.name == "exporter-policy"}
    actions = set(re.findall(r"[a-z0-9]+:[A-Z][A-Za-z]+", policies["exporter-policy"]))
    assert actions == {"kms:Decrypt", "kms:VerifyMac", "s3:ListBucket", "s3:GetObject", "dynamodb:GetItem"}
