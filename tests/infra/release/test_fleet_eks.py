"""Releases on Kubernetes against a strict API server that holds what the Pulumi program declares."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.errors import OperationFailed
from infra.release.fleet_eks import EksFleet
from infra.release.router import Router
from infra.stack.kube import MERGE, STRATEGIC, Kube
from infra.stack.outputs import Colour
from tests.infra.release.kube import estate
from tests.infra.release.kube.api import Cluster
from tests.infra.release.test_fleets import PodTargets
from tests.infra.release.world import client, new_world

REPOSITORY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/superagent"
V1, V2 = f"{REPOSITORY}:v1", f"{REPOSITORY}:v2"
DEPLOYMENT = "/apis/apps/v1/namespaces/superagent/deployments/superagent-blue"
PODS = "/api/v1/namespaces/superagent/pods"


class NoParameters:
    def write(self, colour: Colour, image: str) -> None:
        return


@pytest.fixture
def cluster() -> Cluster:
    return estate.cluster(V1)


@pytest.fixture
def kube(cluster: Cluster) -> Iterator[Kube]:
    with estate.connected(cluster) as made:
        yield made


@pytest.fixture
def fleet(kube: Kube) -> EksFleet:
    return EksFleet(kube, NoParameters(), None, lambda colour: None)


def until(condition: Callable[[], bool], what: str) -> None:
    """Each look is a request, and each request lets the controllers turn once."""
    for _ in range(400):
        if condition():
            return
        time.sleep(0.002)
    raise AssertionError(f"never: {what}")


def outcome(migration: Any) -> str:
    found: list[str | None] = [None]

    def ended() -> bool:
        found[0] = migration.poll()
        return found[0] is not None

    until(ended, "the migration ends")
    assert found[0] is not None
    return found[0]


def running(fleet: EksFleet, colour: Colour, image: str, like: Colour) -> None:
    fleet.set_image(colour, image)
    fleet.scale_up(colour, like)
    until(lambda: fleet.rollout(colour).complete, f"{colour} runs")


def test_a_colour_that_was_never_released_has_no_image() -> None:
    with estate.connected(estate.cluster(f"{REPOSITORY}:none")) as kube:
        assert EksFleet(kube, NoParameters(), None, lambda colour: None).image("blue") == ""


def test_pods_are_targets_of_their_colour_until_they_leave(tmp_path: Path) -> None:
    with new_world(tmp_path) as world:
        made = estate.cluster(V1)
        made.targets = PodTargets(world)
        with estate.connected(made) as kube:
            fleet = EksFleet(kube, NoParameters(), None, lambda colour: None)
            router = Router(client("elbv2"), world.outputs)
            running(fleet, "green", V2, "blue")
            assert router.healthy("green") == fleet.rollout("green").ready == 2
            fleet.scale_down("green")
            until(lambda: fleet.stopped("green"), "green stops")
            assert [one for one in router.targets("green") if one.state == "healthy"] == []
        assert made.violations == []


def test_a_pod_that_is_not_yet_a_healthy_target_is_not_ready(cluster: Cluster, fleet: EksFleet) -> None:
    class Nobody:
        def register(self, colour: str, address: str) -> None:
            return

        deregister = register

        def healthy(self, colour: str, address: str) -> bool:
            return False

    cluster.targets = Nobody()
    fleet.scale_up("green", "blue")
    until(lambda: len(fleet.instances("green")) == 2, "two pods")
    until(lambda: {one.detail for one in fleet.instances("green")} == {"Running"}, "they run")
    assert not any(one.ready for one in fleet.instances("green"))
    assert fleet.rollout("green").ready == 0


def test_a_colour_is_not_stopped_while_a_pod_drains(cluster: Cluster, fleet: EksFleet) -> None:
    running(fleet, "blue", V1, "green")
    cluster.drain_turns = 10_000
    fleet.scale_down("blue")
    until(lambda: "replicas" not in fleet._deployment("blue")["status"], "no pod counts any more")
    assert len(fleet.instances("blue")) == 2
    assert not fleet.stopped("blue")
    cluster.drain_turns = 0
    until(lambda: fleet.stopped("blue"), "blue stops")
    assert fleet.instances("blue") == []


def test_a_pod_that_was_evicted_and_lies_there_does_not_keep_a_colour_from_being_stopped(
    cluster: Cluster, fleet: EksFleet
) -> None:
    running(fleet, "blue", V1, "green")
    pod = json.loads(json.dumps(next(iter(cluster.of("Pod").values()))))
    fleet.scale_down("blue")
    until(lambda: fleet.stopped("blue"), "blue stops")
    # The kubelet evicts a pod of a full node; no controller removes it until there are 12,500 of them.
    pod["metadata"]["name"] = "superagent-blue-evicted"
    pod["status"] = {
        "phase": "Failed",
        "reason": "Evicted",
        "message": "The node was low on resource: memory.",
    }
    cluster.of("Pod")["superagent-blue-evicted"] = pod
    assert fleet.instances("blue")[0].detail == "Failed"
    assert fleet.stopped("blue")


def test_an_image_that_cannot_be_pulled_is_a_problem_at_once(cluster: Cluster, fleet: EksFleet) -> None:
    cluster.bad_images.add(V2)
    fleet.set_image("green", V2)
    fleet.scale_up("green", "blue")
    until(lambda: fleet.rollout("green").problem != "", "the problem shows")
    assert (
        "ErrImagePull" in fleet.rollout("green").problem
        or "ImagePullBackOff" in fleet.rollout("green").problem
    )


def test_a_container_that_crashes_is_told_with_its_last_words(cluster: Cluster, fleet: EksFleet) -> None:
    cluster.crashing_images[V2] = "PROVIDERS_FILE: /run/none.json cannot be read"
    fleet.set_image("green", V2)
    fleet.scale_up("green", "blue")
    until(lambda: fleet.rollout("green").problem != "", "the problem shows")
    assert "CrashLoopBackOff PROVIDERS_FILE: /run/none.json cannot be read" in fleet.rollout("green").problem


REFUSED = "An error occurred (AccessDeniedException) when calling the GetSecretValue operation"


def test_secrets_that_cannot_be_fetched_are_a_problem_at_once_with_aws_words(
    cluster: Cluster, fleet: EksFleet
) -> None:
    cluster.fetch_fails = REFUSED
    fleet.set_image("green", V2)
    fleet.scale_up("green", "blue")
    until(lambda: fleet.rollout("green").problem != "", "the problem shows")
    assert f"CrashLoopBackOff {REFUSED}" in fleet.rollout("green").problem


def test_the_trouble_of_an_older_image_is_not_the_new_ones(cluster: Cluster, fleet: EksFleet) -> None:
    cluster.bad_images.add(V1)
    fleet.scale_up("green", "blue")
    until(lambda: fleet.rollout("green").problem != "", "the problem shows")
    running(fleet, "green", V2, "blue")
    assert fleet.rollout("green").problem == ""


def test_pods_that_never_become_ready_end_in_the_deployments_own_verdict(
    cluster: Cluster, fleet: EksFleet
) -> None:
    cluster.stuck_images.add(V2)
    fleet.set_image("green", V2)
    fleet.scale_up("green", "blue")
    until(lambda: fleet.rollout("green").problem != "", "the deadline passes")
    assert "has timed out progressing" in fleet.rollout("green").problem


def test_a_change_that_the_controller_has_not_seen_yet_is_not_complete(fleet: EksFleet) -> None:
    running(fleet, "green", V1, "blue")
    fleet.set_image("green", V2)
    assert not fleet.rollout("green").complete


def test_setting_the_image_keeps_everything_else(cluster: Cluster, fleet: EksFleet) -> None:
    before = cluster.of("Deployment")["superagent-green"]["spec"]["template"]["spec"]["containers"][0]
    fleet.set_image("green", V2)
    after = cluster.of("Deployment")["superagent-green"]["spec"]["template"]["spec"]["containers"][0]
    assert {one["name"]: one["value"] for one in after["env"]} == {
        "SUPERAGENT_COLOUR": "green",
        "SUPERAGENT_VERSION": "v2",
    }
    assert {**after, "image": V1, "env": before["env"]} == before


def test_autoscalers_hold_both_colours_until_one_is_stopped(cluster: Cluster, fleet: EksFleet) -> None:
    running(fleet, "blue", V1, "green")
    fleet.kube.patch(f"{DEPLOYMENT}/scale", {"spec": {"replicas": 4}})
    running(fleet, "green", V2, "blue")
    cluster.quiet = True  # from now on the autoscalers take both colours down to their minimum
    assert [fleet.rollout(colour).desired for colour in ("blue", "green") for _ in range(3)] == [4] * 6
    least = {name: one["spec"]["minReplicas"] for name, one in cluster.of("HorizontalPodAutoscaler").items()}
    assert least == {"superagent-blue": 4, "superagent-green": 4}
    fleet.scale_down("blue")
    until(lambda: fleet.stopped("blue"), "blue stops")
    until(lambda: fleet.rollout("green").desired == estate.LEAST, "green may shrink to its floor")


def test_throttling_and_server_errors_are_retried(cluster: Cluster, fleet: EksFleet) -> None:
    cluster.faults = [429, 503, 500]
    assert fleet.image("blue") == V1
    cluster.faults = [503] * 6
    with pytest.raises(OperationFailed, match="503"):
        fleet.image("blue")


def test_a_refusal_is_told_and_not_retried(cluster: Cluster, fleet: EksFleet) -> None:
    cluster.faults = [403, 200]
    with pytest.raises(OperationFailed, match="403 injected"):
        fleet.image("blue")
    assert cluster.faults == [200]


def test_wrong_credentials_are_told_without_them(cluster: Cluster) -> None:
    with (
        estate.connected(cluster, token="secret-of-somebody") as kube,
        pytest.raises(OperationFailed, match="401 Unauthorized") as refused,
    ):
        EksFleet(kube, NoParameters(), None, lambda colour: None).image("blue")
    assert "secret-of-somebody" not in str(refused.value)


# the server itself: what it would not let pass

RESTARTING_POD = {"spec": {"containers": [{"name": "c", "image": "i"}]}}
WRONG: list[tuple[str, str, dict[str, Any], str, int]] = [
    ("PATCH", DEPLOYMENT, {"spec": {"replica": 3}}, STRATEGIC, 400),
    ("PATCH", DEPLOYMENT, {"spec": {"replicas": "3"}}, STRATEGIC, 400),
    ("PATCH", DEPLOYMENT, {"spec": {"selector": {"matchLabels": {"a": "b"}}}}, STRATEGIC, 422),
    ("PATCH", DEPLOYMENT, {"spec": {"template": {"spec": {"containers": [{"name": "x"}]}}}}, STRATEGIC, 422),
    ("PATCH", DEPLOYMENT, {"spec": {"replicas": 3}}, "application/json", 415),
    ("PATCH", f"{DEPLOYMENT}/scale", {"spec": {"replicas": -1}}, MERGE, 422),
    ("PATCH", f"{DEPLOYMENT}/scales", {"spec": {"replicas": 1}}, MERGE, 404),
    ("PATCH", DEPLOYMENT.replace("/v1/", "/v1beta1/"), {}, MERGE, 404),
    ("DELETE", DEPLOYMENT, {}, "application/json", 405),
    ("POST", "/apis/batch/v1/namespaces/superagent/jobs", {"kind": "Job", "apiVersion": "batch/v1",
     "metadata": {"name": "x"}, "spec": {"template": RESTARTING_POD}}, "application/json", 422),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "content_type", "status"), WRONG)
def test_the_server_refuses_what_a_real_one_refuses(
    cluster: Cluster, kube: Kube, method: str, path: str, body: dict[str, Any], content_type: str, status: int
) -> None:
    query = [("fieldValidation", "Strict")] if method != "DELETE" else []
    with pytest.raises(OperationFailed, match=str(status)):
        kube._call(method, path, body, query=query, content_type=content_type)
    assert cluster.violations != []


def test_a_container_under_another_name_would_be_noticed(cluster: Cluster, fleet: EksFleet) -> None:
    containers = cluster.of("Deployment")["superagent-blue"]["spec"]["template"]["spec"]["containers"]
    containers[0]["name"] = "service"
    with pytest.raises(KeyError):
        fleet.image("blue")


def test_a_wrong_selector_finds_nothing(fleet: EksFleet, kube: Kube) -> None:
    running(fleet, "blue", V1, "green")
    assert len(kube.items(PODS, "app.kubernetes.io/name=superagent,superagent/colour=blue")) == 2
    assert kube.items(PODS, "app.kubernetes.io/name=superagent,colour=blue") == []


# Fields of what real API servers answered, as recorded in pulumi/pulumi-kubernetes (provider/pkg/await)
FAILED_JOB = {"lastProbeTime", "lastTransitionTime", "message", "reason", "status", "type"}
CRASHING_POD = {"image", "imageID", "lastState", "name", "ready", "restartCount", "started", "state"}
ENDED = {"exitCode", "finishedAt", "message", "reason", "startedAt"}
CONDITION = {"lastTransitionTime", "lastUpdateTime", "message", "reason", "status", "type"}


def test_statuses_have_the_fields_of_recorded_ones(cluster: Cluster, fleet: EksFleet) -> None:
    cluster.job_fails, cluster.crashing_images[V2] = "no", "see ya!"
    outcome(fleet.migrate("green", V2))
    (job,) = cluster.of("Job").values()
    assert all(set(one) == FAILED_JOB for one in job["status"]["conditions"])
    assert job["status"]["failed"] == 1
    running(fleet, "blue", V1, "green")
    status = cluster.of("Deployment")["superagent-blue"]["status"]
    assert all(set(one) == CONDITION for one in status["conditions"])
    assert {one["type"]: one["reason"] for one in status["conditions"]} == {
        "Available": "MinimumReplicasAvailable",
        "Progressing": "NewReplicaSetAvailable",
    }
    assert "unavailableReplicas" not in status
    fleet.set_image("green", V2)
    fleet.scale_up("green", "blue")
    until(lambda: fleet.rollout("green").problem != "", "it crashes")
    crashed = [one for one in cluster.of("Pod").values() if one["spec"]["containers"][0]["image"] == V2]
    (container,) = crashed[-1]["status"]["containerStatuses"]
    assert set(container) == CRASHING_POD
    assert set(container["lastState"]["terminated"]) == ENDED
    cluster.check_all()
