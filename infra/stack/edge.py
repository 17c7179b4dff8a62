"""The load balancer: two colours behind a production listener, the idle one behind a test listener.

Both target groups exist from day one, and Pulumi never touches a listener's `default_actions` again:
the weights belong to `infra/release` (pulumi/pulumi-aws#5798, terraform-aws-modules/terraform-aws-alb#409).
"""

from __future__ import annotations

from typing import Final

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

from infra.stack import firewall
from infra.stack.buckets import Closed
from infra.stack.component import Component
from infra.stack.network import ANYWHERE, Network
from infra.stack.outputs import COLOURS, Colour
from infra.stack.rules import HTTP
from infra.stack.settings import Settings

FIRST: Colour = "blue"
"""The colour that has all traffic before the first release."""
WHOLE: Final = 100
TLS_POLICY: Final = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
"""TLS 1.3 and 1.2 with forward secrecy, key exchange also safe from later quantum computers."""
HSTS: Final = "max-age=63072000"


class Edge(Component):
    """Load balancer, its security group, target groups and listeners."""

    def __init__(
        self,
        settings: Settings,
        network: Network,
        certificate_arn: pulumi.Input[str] | None,
        access_logs: Closed | None,
    ) -> None:
        super().__init__("edge", settings)
        self.network = network
        self.certificate_arn = certificate_arn
        self.security_group = firewall.group(self, "alb", network.vpc_id, "Clients in, service out")
        self.service_group = firewall.group(self, "service", network.vpc_id, "The service, on either compute")
        self._rules()
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
            access_logs={"enabled": True, "bucket": access_logs.name} if access_logs else None,
            # ELB writes a test object first, and is refused before the policy lets it.
            opts=self.guarded(depends_on=[access_logs.policy] if access_logs else []),
        )
        self.target_groups: dict[Colour, aws.lb.TargetGroup] = {
            colour: self._target_group(colour) for colour in COLOURS
        }
        weights: dict[Colour, int] = {colour: WHOLE if colour == FIRST else 0 for colour in COLOURS}
        self.listener = self._listener("production", settings.http_port, self._weighted(weights))
        idle = next(colour for colour in COLOURS if colour != FIRST)
        self.test_listener = self._listener("test", settings.test_port, self._weighted({idle: WHOLE}))
        if certificate_arn is not None:
            self._redirect()
        self.register_outputs({"dns_name": self.load_balancer.dns_name})

    def _rules(self) -> None:
        settings, alb, service = self.settings, self.security_group, self.service_group
        for cidr in settings.client_cidrs:
            firewall.rule(self, f"clients-{cidr}", "in", alb, settings.http_port, "Clients", cidr=cidr)
            if not settings.local:
                firewall.rule(
                    self, f"redirect-{cidr}", "in", alb, HTTP, "Clients, to be redirected", cidr=cidr
                )
        firewall.rule(
            self,
            "smoke",
            "in",
            alb,
            settings.test_port,
            "Smoke tests, from the VPC alone",
            cidr=settings.vpc_cidr,
        )
        for az, address in self.network.nat_addresses.items():
            firewall.rule(
                self,
                f"smoke-{az}",
                "in",
                alb,
                settings.test_port,
                # Whoever asks for the load balancer's name gets public addresses, inside the VPC too.
                "Smoke tests from private subnets, through NAT",
                cidr=pulumi.Output.format("{0}/32", address.public_ip),
            )
        firewall.rule(self, "alb-to-service", "out", alb, settings.service_port, "Targets", peer=service)
        firewall.rule(
            self, "service-from-alb", "in", service, settings.service_port, "Load balancer", peer=alb
        )
        firewall.rule(self, "service-https", "out", service, 443, "Model providers and AWS", cidr=ANYWHERE)

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

    def _listener(self, name: str, port: int, action: ListenerDefaultActionArgs) -> aws.lb.Listener:
        """HTTPS with TLS 1.3 wherever there is a certificate; plain HTTP on this machine only."""
        secure = self.certificate_arn is not None
        return aws.lb.Listener(
            name,
            load_balancer_arn=self.load_balancer.arn,
            port=port,
            protocol="HTTPS" if secure else "HTTP",
            ssl_policy=TLS_POLICY if secure else None,
            certificate_arn=self.certificate_arn,
            routing_http_response_strict_transport_security_header_value=HSTS if secure else None,
            default_actions=[action],
            opts=self.child(ignore_changes=["defaultActions"]),
        )

    def _redirect(self) -> None:
        aws.lb.Listener(
            "redirect",
            load_balancer_arn=self.load_balancer.arn,
            port=HTTP,
            protocol="HTTP",
            default_actions=[
                {
                    "type": "redirect",
                    "redirect": {
                        "protocol": "HTTPS",
                        "port": str(self.settings.http_port),
                        "status_code": "HTTP_301",
                    },
                }
            ],
            opts=self.child(),
        )
