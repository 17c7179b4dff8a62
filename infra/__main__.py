"""The Pulumi program: settings, components, outputs. Each line of `estate` is one chapter of the estate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pulumi

# The program imports the packages beside it, whichever checkout is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from infra.errors import UserError
from infra.stack import settings as configuration
from infra.stack.backups import Backups
from infra.stack.edge import Edge
from infra.stack.network import Network
from infra.stack.observability import Observability
from infra.stack.releases import Releases
from infra.stack.settings import Settings
from infra.stack.tags import tag_everything


def estate(settings: Settings) -> dict[str, Any]:
    """Declare one environment; the result has the fields of `infra.stack.outputs.StackOutputs`."""
    tag_everything(settings)
    observability = Observability(settings)
    network = Network(settings)
    edge = Edge(settings, network)
    backups = Backups(settings)
    releases = Releases(settings)
    return {
        "environment": settings.environment,
        "region": settings.region,
        "compute": settings.compute,
        "vpc_id": network.vpc_id,
        "alb_arn": edge.load_balancer.arn,
        "alb_dns_name": edge.load_balancer.dns_name,
        "listener_arn": edge.listener.arn,
        "test_listener_arn": edge.test_listener.arn,
        "target_group_arns": {colour: group.arn for colour, group in edge.target_groups.items()},
        "image_parameters": {colour: image.name for colour, image in releases.images.items()},
        "release_table": releases.table.name,
        "backup_bucket": backups.bucket.bucket,
        "database_pointer": releases.database_pointer.name,
        "alert_topic_arn": observability.alerts.arn,
    }


def main() -> None:
    try:
        settings = configuration.load(pulumi.get_stack(), configuration.pulumi_config())
    except UserError as wrong:
        raise pulumi.RunError(wrong.message) from None
    for name, value in estate(settings).items():
        pulumi.export(name, value)


main()
