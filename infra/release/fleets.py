"""Which fleet and which metric store an environment has."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.errors import UserError
from infra.release.fleet import Fleet
from infra.release.fleet_asg import AsgFleet
from infra.release.fleet_local import LocalFleet
from infra.release.image import ImageParameters
from infra.release.sample import Source
from infra.release.source_prometheus import Prometheus, PrometheusSource, StoreDown
from infra.release.source_scrape import ScrapeSource
from infra.stack.environment import Environment
from infra.stack.naming import Names


@dataclass(frozen=True, slots=True)
class SmokeSettings:
    """How smoke tests reach a load balancer, and what they ask for."""

    server_name: str
    """Name on the certificate, `SUPERAGENT_SMOKE_SERVER_NAME`."""
    key_file: Path | None
    """`SUPERAGENT_SMOKE_KEY_FILE`."""
    model: str
    """`SUPERAGENT_SMOKE_MODEL`, what `${model}` stands for; empty: the service's own list decides."""


def smoke_settings() -> SmokeSettings:
    """From the environment."""
    key_file = os.environ.get("SUPERAGENT_SMOKE_KEY_FILE")
    return SmokeSettings(
        server_name=os.environ.get("SUPERAGENT_SMOKE_SERVER_NAME", ""),
        key_file=Path(key_file) if key_file else None,
        model=os.environ.get("SUPERAGENT_SMOKE_MODEL", ""),
    )


def build(found: Environment) -> tuple[Fleet, Source]:
    """The fleet of `outputs.compute`, and the metrics that its releases are judged by."""
    outputs = found.outputs
    images = ImageParameters(found.client("ssm"), outputs.image_parameters)
    if outputs.compute == "local":
        from infra.release.slots_local import LocalSlots

        fleet = LocalFleet(LocalSlots(found.client("elbv2"), outputs), images)
        return fleet, ScrapeSource(fleet.metrics_urls)
    source = PrometheusSource(FoundLater(lambda: metric_store(found)), outputs.environment)
    if outputs.compute == "ec2":
        return _on_ec2(found, images, source), source
    from infra.release.fleet_eks import EksFleet
    from infra.stack.kube import Kube

    kube = Kube.from_kubeconfig(os.environ.get("SUPERAGENT_KUBE_CONTEXT"))
    return EksFleet(kube, images, found.client("ecr"), source.in_flight), source


def _on_ec2(found: Environment, images: ImageParameters, source: PrometheusSource) -> AsgFleet:
    return AsgFleet(
        autoscaling=found.client("autoscaling"),
        ssm=found.client("ssm"),
        ecr=found.client("ecr"),
        images=images,
        target_groups=found.outputs.target_group_arns,
        open_requests=source.in_flight,
    )


@dataclass(slots=True)
class FoundLater:
    """A metric store that is looked for with the first query: giving traffic back needs none."""

    find: Callable[[], Prometheus]
    _found: Prometheus | None = None

    def query(self, expression: str, at: float) -> list[dict[str, Any]]:
        """As `Prometheus.query`; `StoreDown` too when AWS does not say where it is."""
        if self._found is None:
            try:
                self._found = self.find()
            except (BotoCoreError, ClientError) as failed:
                raise StoreDown(f"AMP: {failed}") from None
        return self._found.query(expression, at)


def metric_store(found: Environment) -> Prometheus:
    """`SUPERAGENT_PROMETHEUS_URL`, else the local system's Prometheus, else the environment's AMP workspace,
    found by its alias. Raises `UserError` when there is none.
    """
    region = found.outputs.region
    if url := os.environ.get("SUPERAGENT_PROMETHEUS_URL"):
        return Prometheus(url, region if "aps-workspaces" in url else None)
    if found.endpoint is not None:
        return Prometheus(f"http://127.0.0.1:{_local_port('prometheus')}")
    alias = Names(found.outputs.environment).of("metrics")
    amp = found.client("amp")
    for one in amp.list_workspaces(alias=alias)["workspaces"]:
        if one.get("alias") == alias:
            described = amp.describe_workspace(workspaceId=one["workspaceId"])["workspace"]
            return Prometheus(described["prometheusEndpoint"], region)
    raise UserError(
        f"There is no AMP workspace with alias {alias}, so nothing to judge a release by.",
        "Run `pulumi up`, or name a Prometheus in SUPERAGENT_PROMETHEUS_URL.",
    )


def _local_port(part: str) -> int:
    from infra.local.state import load

    port = load().ports.get(part)
    if port is None:
        raise UserError(f"The local system has no {part}.", "Start it with `superagent up`.")
    return port
