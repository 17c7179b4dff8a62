"""Which fleet and which metric store an environment has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from infra.release.fleet import Fleet
from infra.release.fleet_local import LocalFleet
from infra.release.image import ImageParameters
from infra.release.sample import Source
from infra.release.source_scrape import ScrapeSource
from infra.stack.environment import Environment


@dataclass(frozen=True, slots=True)
class SmokeSettings:
    """How smoke tests reach a load balancer in AWS."""

    server_name: str
    """Name on the certificate, `SUPERAGENT_SMOKE_SERVER_NAME`."""
    key_file: Path | None
    """`SUPERAGENT_SMOKE_KEY_FILE`."""


def smoke_settings() -> SmokeSettings:
    """From the environment."""
    key_file = os.environ.get("SUPERAGENT_SMOKE_KEY_FILE")
    return SmokeSettings(
        server_name=os.environ.get("SUPERAGENT_SMOKE_SERVER_NAME", ""),
        key_file=Path(key_file) if key_file else None,
    )


def build(found: Environment) -> tuple[Fleet, Source]:
    """The fleet of `outputs.compute`, and the metrics that its releases are judged by."""
    outputs = found.outputs
    images = ImageParameters(found.client("ssm"), outputs.image_parameters)
    if outputs.compute == "local":
        from infra.release.slots_local import LocalSlots

        fleet = LocalFleet(LocalSlots(found.client("elbv2"), outputs), images)
        return fleet, ScrapeSource(fleet.metrics_urls)
    raise NotImplementedError(outputs.compute)
