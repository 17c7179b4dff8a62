"""When a colour of the EC2 fleet grows: CPU, requests per target, slow answers, many debates.

Only the colour that has traffic grows: the idle one has neither load nor requests. Its floor and its first
size belong to the release tool (`minSize`, `desiredCapacity` are ignored by Pulumi).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from infra.stack.component import Component
from infra.stack.edge import Edge
from infra.stack.outputs import Colour
from infra.stack.settings import Settings

METRIC_NAMESPACE: Final = "SuperAgent"
"""CloudWatch namespace of the collector on the instances (infra/stack/bootstrap.py)."""


@dataclass(frozen=True, slots=True)
class Step:
    """Add `add` instances when the metric is `over` the threshold by that much."""

    over: float
    add: int


SLOW_SECONDS: Final = 8.0
SLOW_STEPS: Final = (Step(0, 1), Step(4, 2), Step(12, 4))
DEBATES_PER_TARGET: Final = 50.0
DEBATE_STEPS: Final = (Step(0, 1), Step(50, 3))


class Autoscaling(Component):
    """Policies of one colour's group."""

    def __init__(
        self,
        settings: Settings,
        colour: Colour,
        group: aws.autoscaling.Group,
        edge: Edge,
        fleet: Component,
    ) -> None:
        super().__init__(f"autoscaling-{colour}", settings, fleet.child())
        self.colour, self.group = colour, group
        target_group = edge.target_groups[colour]
        label = pulumi.Output.format("{0}/{1}", edge.load_balancer.arn_suffix, target_group.arn_suffix)
        self._track("cpu", "ASGAverageCPUUtilization", None, float(settings.cpu_target_percent))
        self._track(
            "requests",
            "ALBRequestCountPerTarget",
            label,
            float(settings.requests_per_target_per_minute),
            # Refused for a target group that no listener sends to yet.
            after=[edge.listener],
        )
        self._steps(
            "slow",
            "p95 time to the first byte",
            SLOW_SECONDS,
            SLOW_STEPS,
            {
                "namespace": "AWS/ApplicationELB",
                "metric_name": "TargetResponseTime",
                "extended_statistic": "p95",
                "dimensions": {
                    "LoadBalancer": edge.load_balancer.arn_suffix,
                    "TargetGroup": target_group.arn_suffix,
                },
            },
        )
        self._steps(
            "debates",
            "active debates per instance",
            DEBATES_PER_TARGET,
            DEBATE_STEPS,
            {
                "namespace": METRIC_NAMESPACE,
                "metric_name": "superagent_debates_active",
                "statistic": "Average",
                "dimensions": {"environment": settings.environment, "colour": colour},
            },
        )
        self.register_outputs({})

    def _track(
        self,
        name: str,
        metric: str,
        label: pulumi.Output[str] | None,
        target: float,
        after: Sequence[pulumi.Resource] = (),
    ) -> None:
        aws.autoscaling.Policy(
            f"{self.colour}-{name}",
            name=self.settings.names.of(f"{self.colour}-{name}"),
            autoscaling_group_name=self.group.name,
            policy_type="TargetTrackingScaling",
            estimated_instance_warmup=self.settings.instance_warmup_seconds,
            target_tracking_configuration={
                "predefined_metric_specification": {
                    "predefined_metric_type": metric,
                    "resource_label": label,
                },
                "target_value": target,
            },
            opts=self.child(depends_on=list(after)),
        )

    def _steps(
        self, name: str, what: str, threshold: float, steps: tuple[Step, ...], metric: dict[str, Any]
    ) -> None:
        """A step policy and the alarm that pulls it. It only grows; target tracking shrinks."""
        policy = aws.autoscaling.Policy(
            f"{self.colour}-{name}",
            name=self.settings.names.of(f"{self.colour}-{name}"),
            autoscaling_group_name=self.group.name,
            policy_type="StepScaling",
            adjustment_type="ChangeInCapacity",
            metric_aggregation_type="Average",
            estimated_instance_warmup=self.settings.instance_warmup_seconds,
            step_adjustments=[
                {
                    "scaling_adjustment": step.add,
                    "metric_interval_lower_bound": f"{step.over:g}",
                    "metric_interval_upper_bound": f"{following.over:g}" if following else None,
                }
                for step, following in zip(steps, [*steps[1:], None], strict=True)
            ],
            opts=self.child(),
        )
        aws.cloudwatch.MetricAlarm(
            f"{self.colour}-{name}",
            name=self.settings.names.of(f"scale-{self.colour}-{name}"),
            alarm_description=f"Scale {self.colour} out: {what} over {threshold:g}",
            comparison_operator="GreaterThanThreshold",
            threshold=threshold,
            period=60,
            evaluation_periods=3,
            treat_missing_data="notBreaching",
            alarm_actions=[policy.arn],
            **metric,
            opts=self.child(),
        )
