"""A cluster with what the Pulumi program declares of both colours, and the release tool's way into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kubernetes import client

from infra.stack import kubernetes_objects, kubernetes_pods
from infra.stack.kube import Kube
from infra.stack.kubernetes_objects import Workload
from infra.stack.outputs import COLOURS
from tests.infra.release.kube.api import TOKEN, Cluster, serve

LEAST, MOST = 2, 10


def workload(image: str) -> Workload:
    return Workload(
        environment="prod",
        region="eu-central-1",
        image=image,
        fetch_script="echo",
        service_port=8000,
        metrics_port=9464,
        drain_seconds=300,
        min_replicas=LEAST,
        max_replicas=MOST,
        cpu_target=70,
        vpc_cidr="10.0.0.0/16",
        settings={"PORT": "8000"},
    )


def cluster(image: str) -> Cluster:
    """As after `pulumi up`: both colours declared, neither ever released."""
    made, work = Cluster(), workload(image)
    for colour in COLOURS:
        made.add("apps/v1", "Deployment", kubernetes_pods.deployment(work, colour))
        made.add("autoscaling/v2", "HorizontalPodAutoscaler", kubernetes_objects.autoscaler(work, colour))
    return made


@contextmanager
def connected(made: Cluster, token: str = TOKEN) -> Iterator[Kube]:
    """A client of the cluster that does not wait between attempts."""
    with serve(made) as url:
        configuration = client.Configuration(host=url)
        configuration.retries = False
        configuration.api_key = {"authorization": f"Bearer {token}"}
        api = client.ApiClient(configuration)
        try:
            yield Kube(api, sleep=lambda seconds: None)
        finally:
            api.close()
