"""The outputs that the other commands read: exactly the fields of `StackOutputs`."""

from __future__ import annotations

from typing import Any

from infra.stack.backups import Backups
from infra.stack.edge import Edge
from infra.stack.network import Network
from infra.stack.observability import Observability
from infra.stack.releases import Releases
from infra.stack.settings import Settings


def exports(
    settings: Settings,
    network: Network,
    edge: Edge,
    releases: Releases,
    backups: Backups,
    observability: Observability,
) -> dict[str, Any]:
    """Name and value of every output; none is a secret."""
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
        "release_steps": list(settings.release_steps),
        "release_bake_seconds": settings.release_bake_seconds,
        "drill_key": backups.signed_by,
    }
