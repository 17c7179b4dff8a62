"""The load balancer: two colours behind a production listener, the idle one behind a test listener.

Both target groups exist from day one, and Pulumi never touches a listener's `default_actions` again:
the weights belong to `infra/release` (pulumi/pulumi-aws#5798, terraform-aws-modules/terraform-aws-alb#409).
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws
from pulumi_aws.lb import (
    ListenerDefaultActionArgs,
    ListenerDefaultActionForwardArgs,
    ListenerDefaultActionForwardStickinessArgs,
    ListenerDefaultActionForwardTargetGroupArgs,
    TargetGroupHealthCheckArgs,
    TargetGroupStickinessArgs,
)

from infra.stack.component import Component
from infra.stack.network import Network
from infra.stack.outputs import COLOURS, Colour
from infra.stack.settings import Settings

FIRST: Colour = "blue"
"""The colour that has all traffic before the first release."""
WHOLE = 100


class Edge(Component):
    """Load balancer, its security group, target groups and listeners."""

    def __init__(self, settings: Settings, network: Network) -> None:
        super().__init__("edge", settings)
        self.network = network
        self.security_group = self._security_group()
        self.load_balancer = aws.lb.LoadBalancer(
            "alb",
            name=settings.names.of("alb", 32),
            load_balancer_type="application",
            internal=False,
            security_groups=[self.security_group.id],
            subnets=network.subnet_ids["public"],
            idle_timeout=settings.idle_timeout_seconds,
            drop_invalid_header_fields=True,
            desync_mitigation_mode="defensive",
            enable_deletion_protection=settings.protection,
            opts=self.guarded(),
        )
        self.target_groups: dict[Colour, aws.lb.TargetGroup] = {
            colour: self._target_group(colour) for colour in COLOURS
        }
        weights: dict[Colour, int] = {colour: WHOLE if colour == FIRST else 0 for colour in COLOURS}
        self.listener = self._listener("production", settings.http_port, self._weighted(weights))
        idle = next(colour for colour in COLOURS if colour != FIRST)
        self.test_listener = self._listener("test", settings.test_port, self._weighted({idle: WHOLE}))
        self.register_outputs({"dns_name": self.load_balancer.dns_name})

    def _security_group(self) -> aws.ec2.SecurityGroup:
        group = aws.ec2.SecurityGroup(
            "alb",
            name=self.settings.names.of("alb"),
            description="Load balancer: clients in, service out",
            vpc_id=self.network.vpc_id,
            opts=self.child(),
        )
        for cidr in self.settings.client_cidrs:
            aws.vpc.SecurityGroupIngressRule(
                f"alb-from-{cidr}",
                security_group_id=group.id,
                description="Clients",
                ip_protocol="tcp",
                from_port=self.settings.http_port,
                to_port=self.settings.http_port,
                cidr_ipv4=cidr,
                opts=self.child(),
            )
        aws.vpc.SecurityGroupIngressRule(
            "alb-test",
            security_group_id=group.id,
            description="Smoke tests, from inside the VPC only",
            ip_protocol="tcp",
            from_port=self.settings.test_port,
            to_port=self.settings.test_port,
            cidr_ipv4=self.settings.vpc_cidr,
            opts=self.child(),
        )
        aws.vpc.SecurityGroupEgressRule(
            "alb-to-service",
            security_group_id=group.id,
            description="Targets",
            ip_protocol="tcp",
            from_port=self.settings.service_port,
            to_port=self.settings.service_port,
            cidr_ipv4=self.settings.vpc_cidr,
            opts=self.child(),
        )
        return group

    def _target_group(self, colour: Colour) -> aws.lb.TargetGroup:
        settings = self.settings
        return aws.lb.TargetGroup(
            settings.names.autonamed(colour),
            vpc_id=self.network.vpc_id,
            target_type="instance" if settings.compute == "ec2" else "ip",
            protocol="HTTP",
            port=settings.service_port,
            deregistration_delay=settings.deregistration_delay_seconds,
            # Slow streams make round robin pile requests on the slowest target.
            load_balancing_algorithm_type="least_outstanding_requests",
            health_check=TargetGroupHealthCheckArgs(
                enabled=True,
                protocol="HTTP",
                path="/health/ready",
                matcher="200",
                interval=settings.health_check_interval_seconds,
                timeout=settings.health_check_timeout_seconds,
                healthy_threshold=2,
                unhealthy_threshold=2,
            ),
            stickiness=TargetGroupStickinessArgs(
                enabled=True, type="lb_cookie", cookie_duration=settings.stickiness_seconds
            ),
            tags={"Colour": colour},
            opts=self.child(),
        )

    def _weighted(self, weights: dict[Colour, int]) -> ListenerDefaultActionArgs:
        """Forward by weight. Cookies of targets work only when the group has one too (ELB guide)."""
        return ListenerDefaultActionArgs(
            type="forward",
            forward=ListenerDefaultActionForwardArgs(
                target_groups=[
                    ListenerDefaultActionForwardTargetGroupArgs(
                        arn=self.target_groups[colour].arn, weight=weight
                    )
                    for colour, weight in weights.items()
                ],
                stickiness=ListenerDefaultActionForwardStickinessArgs(
                    enabled=True, duration=self.settings.stickiness_seconds
                ),
            ),
        )

    def _listener(
        self,
        name: str,
        port: int,
        action: ListenerDefaultActionArgs,
        depends_on: Sequence[pulumi.Resource] = (),
    ) -> aws.lb.Listener:
        return aws.lb.Listener(
            name,
            load_balancer_arn=self.load_balancer.arn,
            port=port,
            protocol="HTTP",
            default_actions=[action],
            opts=self.child(ignore_changes=["defaultActions"], depends_on=list(depends_on)),
        )
