"""ElastiCache for Valkey: TLS, token, Multi-AZ, snapshots; limits, sessions and cached answers live here."""

from __future__ import annotations

from typing import Final

import pulumi
import pulumi_aws as aws

from infra.stack import firewall
from infra.stack.component import Component
from infra.stack.network import Network
from infra.stack.observability import Observability
from infra.stack.secrets import Secrets
from infra.stack.settings import Settings

PORT: Final = 6379
SNAPSHOT_DAYS: Final = 7
SNAPSHOT_WINDOW: Final = "01:00-02:00"

PARAMETERS: Final = {
    "maxmemory-policy": "allkeys-lru",
    "notify-keyspace-events": "",
    "timeout": "0",
    "tcp-keepalive": "60",
    "slowlog-log-slower-than": "10000",  # microseconds
}


class Cache(Component):
    """One shard with replicas; a failover takes seconds, during which the service uses local limits."""

    def __init__(
        self,
        settings: Settings,
        network: Network,
        secrets: Secrets,
        observability: Observability,
        clients: aws.ec2.SecurityGroup,
    ) -> None:
        super().__init__("cache", settings)
        group = firewall.group(self, "cache", network.vpc_id, "Valkey, from the service alone")
        firewall.rule(self, "cache-in", "in", group, PORT, "Service", peer=clients)
        firewall.rule(self, "cache-out", "out", clients, PORT, "Valkey", peer=group)
        subnets = aws.elasticache.SubnetGroup(
            "cache",
            name=settings.names.of("cache"),
            subnet_ids=network.subnet_ids["data"],
            opts=self.child(),
        )
        family = f"valkey{settings.cache_version.split('.')[0]}"
        parameters = aws.elasticache.ParameterGroup(
            "cache",
            name=settings.names.of(f"cache-{family}"),
            family=family,
            parameters=[{"name": name, "value": value} for name, value in PARAMETERS.items()],
            opts=self.child(),
        )
        slow = observability.log_group("cache-slow", self)
        engine = observability.log_group("cache-engine", self)
        replicated = settings.cache_nodes > 1
        self.cluster = aws.elasticache.ReplicationGroup(
            "cache",
            replication_group_id=settings.names.of("cache", 40),
            description="SuperAgent limits, sessions and cached answers",
            engine="valkey",
            engine_version=settings.cache_version,
            node_type=settings.cache_node_type,
            num_cache_clusters=settings.cache_nodes,
            automatic_failover_enabled=replicated,
            multi_az_enabled=replicated and settings.multi_az,
            port=PORT,
            parameter_group_name=parameters.name,
            subnet_group_name=subnets.name,
            security_group_ids=[group.id],
            at_rest_encryption_enabled=True,
            kms_key_id=secrets.data_key.arn,
            transit_encryption_enabled=True,
            transit_encryption_mode="required",
            auth_token_wo=secrets.cache_token,
            auth_token_wo_version=1,
            snapshot_retention_limit=SNAPSHOT_DAYS,
            snapshot_window=SNAPSHOT_WINDOW,
            final_snapshot_identifier=settings.names.of("cache-final") if settings.protection else None,
            maintenance_window="sun:02:30-sun:03:30",
            auto_minor_version_upgrade=False,
            apply_immediately=False,
            notification_topic_arn=observability.alerts.arn,
            log_delivery_configurations=[
                {
                    "destination": log.name,
                    "destination_type": "cloudwatch-logs",
                    "log_format": "json",
                    "log_type": kind,
                }
                for kind, log in (("slow-log", slow), ("engine-log", engine))
            ],
            opts=self.guarded(ignore_changes=["authTokenWo"]),
        )
        self.register_outputs({"address": self.cluster.primary_endpoint_address})

    @property
    def address(self) -> pulumi.Output[str]:
        return self.cluster.primary_endpoint_address
