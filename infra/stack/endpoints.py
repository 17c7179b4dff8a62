"""Private ways to AWS: traffic to its APIs stays in the VPC and costs no NAT bytes."""

from __future__ import annotations

from typing import Final

import pulumi_aws as aws

from infra.stack import firewall
from infra.stack.component import Component
from infra.stack.network import Network
from infra.stack.settings import Settings

GATEWAYS: Final = ("s3", "dynamodb")
EVERYWHERE: Final = (
    "ecr.api",
    "ecr.dkr",
    "logs",
    "monitoring",
    "secretsmanager",
    "ssm",
    "ssmmessages",
    "kms",
    "sts",
    "aps-workspaces",
)
BY_COMPUTE: Final = {
    "ec2": ("ec2messages", "autoscaling"),
    "eks": ("ec2", "eks", "eks-auth", "elasticloadbalancing"),
}


class Endpoints(Component):
    """Gateway endpoints are free and always there; interface endpoints are for staging and prod."""

    def __init__(self, settings: Settings, network: Network) -> None:
        super().__init__("endpoints", settings)
        for service in GATEWAYS:
            aws.ec2.VpcEndpoint(
                service,
                vpc_id=network.vpc_id,
                service_name=f"com.amazonaws.{settings.region}.{service}",
                vpc_endpoint_type="Gateway",
                route_table_ids=[table.id for table in network.tables],
                opts=self.child(),
            )
        self.services = EVERYWHERE + BY_COMPUTE[settings.compute] if settings.protection else ()
        if self.services:
            group = firewall.group(self, "endpoints", network.vpc_id, "AWS APIs inside the VPC")
            firewall.rule(
                self, "endpoints-tls", "in", group, 443, "Everyone in the VPC", cidr=settings.vpc_cidr
            )
            for service in self.services:
                aws.ec2.VpcEndpoint(
                    service,
                    vpc_id=network.vpc_id,
                    service_name=f"com.amazonaws.{settings.region}.{service}",
                    vpc_endpoint_type="Interface",
                    private_dns_enabled=True,
                    subnet_ids=network.subnet_ids["private"],
                    security_group_ids=[group.id],
                    opts=self.child(),
                )
        self.register_outputs({})
