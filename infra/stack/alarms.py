"""CloudWatch alarms for what Prometheus cannot see: the load balancer, RDS, the cache, AWS itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from infra.stack.cache import Cache
from infra.stack.component import Component
from infra.stack.database import Database
from infra.stack.edge import Edge
from infra.stack.observability import Observability
from infra.stack.outputs import COLOURS
from infra.stack.settings import Settings

GIB: Final = 1024**3


@dataclass(frozen=True, slots=True)
class Alarm:
    """One threshold on one metric; `minutes` in a row it must be crossed."""

    name: str
    namespace: str
    metric: str
    statistic: str
    above: float | None = None
    below: float | None = None
    minutes: int = 5
    why: str = ""
    missing: str = "notBreaching"


LOAD_BALANCER: Final = (
    Alarm(
        "alb-5xx",
        "AWS/ApplicationELB",
        "HTTPCode_ELB_5XX_Count",
        "Sum",
        above=10,
        minutes=2,
        why="The load balancer itself fails requests: no healthy target, or a reset connection",
    ),
    Alarm(
        "alb-rejected",
        "AWS/ApplicationELB",
        "RejectedConnectionCount",
        "Sum",
        above=0,
        why="The load balancer is at its connection limit",
    ),
)
TARGETS: Final = (
    Alarm(
        "targets-5xx",
        "AWS/ApplicationELB",
        "HTTPCode_Target_5XX_Count",
        "Sum",
        above=50,
        minutes=3,
        why="The service answers with 5xx",
    ),
    Alarm(
        "targets-unhealthy",
        "AWS/ApplicationELB",
        "UnHealthyHostCount",
        "Maximum",
        above=0,
        minutes=10,
        why="A target stays unhealthy and is not replaced",
    ),
)
DATABASE: Final = (
    Alarm(
        "database-cpu",
        "AWS/RDS",
        "CPUUtilization",
        "Average",
        above=80,
        minutes=15,
        why="The database is busy for longer than a burst",
    ),
    Alarm(
        "database-storage",
        "AWS/RDS",
        "FreeStorageSpace",
        "Minimum",
        below=5 * GIB,
        why="Storage grows by itself up to its limit; now it is near",
    ),
    Alarm(
        "database-memory",
        "AWS/RDS",
        "FreeableMemory",
        "Minimum",
        below=GIB // 4,
        why="Too little memory; connections or work_mem",
    ),
    Alarm(
        "database-connections",
        "AWS/RDS",
        "DatabaseConnections",
        "Maximum",
        above=400,
        why="More connections than all pools together should open",
    ),
    Alarm(
        "database-latency",
        "AWS/RDS",
        "WriteLatency",
        "Average",
        above=0.05,
        minutes=10,
        why="Writes take over 50 ms",
    ),
)
REPLICA: Final = (
    Alarm(
        "replica-lag",
        "AWS/RDS",
        "ReplicaLag",
        "Maximum",
        above=60,
        minutes=10,
        why="The replica is a minute behind",
    ),
)
CACHE: Final = (
    Alarm("cache-cpu", "AWS/ElastiCache", "EngineCPUUtilization", "Average", above=80, minutes=10,
          why="Valkey's one thread is the limit; a larger type does not help, shards do"),
    Alarm("cache-memory", "AWS/ElastiCache", "DatabaseMemoryUsagePercentage", "Maximum", above=85,
          why="Soon limits and sessions are evicted"),
    Alarm("cache-lag", "AWS/ElastiCache", "ReplicationLag", "Maximum", above=30,
          why="A failover now would lose half a minute of counters"),
)  # fmt: skip


class Alarms(Component):
    """Every alarm goes to the alert topic, when it starts and when it ends."""

    def __init__(
        self, settings: Settings, edge: Edge, database: Database, cache: Cache, observability: Observability
    ) -> None:
        super().__init__("alarms", settings)
        self.topic = observability.alerts.arn
        balancer = {"LoadBalancer": edge.load_balancer.arn_suffix}
        for alarm in LOAD_BALANCER:
            self._alarm(alarm, balancer)
        for colour in COLOURS:
            group = {**balancer, "TargetGroup": edge.target_groups[colour].arn_suffix}
            for alarm in TARGETS:
                self._alarm(alarm, group, f"-{colour}")
        for alarm in DATABASE:
            self._alarm(alarm, {"DBInstanceIdentifier": database.primary.identifier})
        if settings.read_replica:
            for alarm in REPLICA:
                self._alarm(alarm, {"DBInstanceIdentifier": database.replica.identifier})
        for number in range(1, settings.cache_nodes + 1):
            node = pulumi.Output.format("{0}-00{1}", cache.cluster.replication_group_id, number)
            for alarm in CACHE:
                self._alarm(alarm, {"CacheClusterId": node}, f"-{number}")
        self.register_outputs({})

    def _alarm(self, alarm: Alarm, dimensions: Mapping[str, pulumi.Input[str]], suffix: str = "") -> None:
        above = alarm.above is not None
        aws.cloudwatch.MetricAlarm(
            f"{alarm.name}{suffix}",
            name=self.settings.names.of(f"{alarm.name}{suffix}", 255),
            alarm_description=alarm.why,
            namespace=alarm.namespace,
            metric_name=alarm.metric,
            statistic=alarm.statistic,
            comparison_operator="GreaterThanThreshold" if above else "LessThanThreshold",
            threshold=alarm.above if above else alarm.below,
            period=60,
            evaluation_periods=alarm.minutes,
            datapoints_to_alarm=alarm.minutes,
            treat_missing_data=alarm.missing,
            dimensions=dimensions,
            alarm_actions=[self.topic],
            ok_actions=[self.topic],
            opts=self.child(),
        )
