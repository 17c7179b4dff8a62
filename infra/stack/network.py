"""The VPC: public, private and data subnets over pinned AZs, and the ways out."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from infra.stack import addresses
from infra.stack.component import Component
from infra.stack.settings import Settings

ANYWHERE = "0.0.0.0/0"


class Network(Component):
    """Subnets and route tables are keyed by AZ name; an AZ added or removed touches no other."""

    vpc_id: pulumi.Output[str]
    subnet_ids: dict[addresses.Tier, list[pulumi.Output[str]]]

    def __init__(self, settings: Settings) -> None:
        super().__init__("network", settings)
        self.vpc = aws.ec2.Vpc(
            "vpc",
            cidr_block=settings.vpc_cidr,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            opts=self.guarded(),
        )
        self.vpc_id = self.vpc.id
        self.gateway = aws.ec2.InternetGateway("internet", vpc_id=self.vpc_id, opts=self.child())
        # An empty default group: whoever forgets to name a group gets no traffic instead of all.
        aws.ec2.DefaultSecurityGroup("default-closed", vpc_id=self.vpc_id, opts=self.child())
        self.subnets = {
            tier: {az: self._subnet(tier, az) for az in settings.availability_zones}
            for tier in addresses.TIERS
        }
        self.subnet_ids = {tier: [one.id for one in group.values()] for tier, group in self.subnets.items()}
        self.nat_addresses: dict[str, aws.ec2.Eip] = {}
        """By AZ: whom the internet sees when something in a private subnet calls out."""
        self.tables = self._routes()
        self.register_outputs({"vpc_id": self.vpc_id})

    def _subnet(self, tier: addresses.Tier, az: str) -> aws.ec2.Subnet:
        tags: dict[str, str] = {"Tier": tier}
        if self.settings.compute == "eks" and tier != "data":
            # The load-balancer controller discovers subnets by these tags.
            tags["kubernetes.io/role/elb" if tier == "public" else "kubernetes.io/role/internal-elb"] = "1"
        return aws.ec2.Subnet(
            f"{tier}-{az}",
            vpc_id=self.vpc_id,
            availability_zone=az,
            cidr_block=addresses.subnet(self.settings.vpc_cidr, tier, az),
            map_public_ip_on_launch=False,
            tags={"Name": self.settings.names.of(f"{tier}-{az}"), **tags},
            opts=self.child(),
        )

    def _routes(self) -> list[aws.ec2.RouteTable]:
        """One public table, one private table an AZ (its NAT differs), one data table without a way out."""
        public = self._table("public", list(self.subnets["public"].items()), ("internet", self.gateway.id))
        nats = self._nat_gateways()
        private = []
        for az in self.settings.availability_zones:
            nat = nats.get(az) or next(iter(nats.values()), None)
            private.append(
                self._table(
                    f"private-{az}", [(az, self.subnets["private"][az])], ("nat", nat.id) if nat else None
                )
            )
        return [public, *private, self._table("data", list(self.subnets["data"].items()), None)]

    def _table(
        self,
        name: str,
        members: list[tuple[str, aws.ec2.Subnet]],
        way_out: tuple[str, pulumi.Output[str]] | None,
    ) -> aws.ec2.RouteTable:
        table = aws.ec2.RouteTable(f"{name}-routes", vpc_id=self.vpc_id, opts=self.child())
        if way_out:
            kind, target = way_out
            aws.ec2.Route(
                f"{name}-out",
                route_table_id=table.id,
                destination_cidr_block=ANYWHERE,
                gateway_id=target if kind == "internet" else None,
                nat_gateway_id=target if kind == "nat" else None,
                opts=self.child(),
            )
        tier = name.split("-")[0]
        for az, subnet in members:
            aws.ec2.RouteTableAssociation(
                f"{tier}-{az}-routes", route_table_id=table.id, subnet_id=subnet.id, opts=self.child()
            )
        return table

    def _nat_gateways(self) -> dict[str, aws.ec2.NatGateway]:
        """By AZ: none, one shared, or one each (an AZ's loss then takes nobody else's way out)."""
        zones = self.settings.availability_zones
        wanted = {"none": zones[:0], "single": zones[:1], "per_az": zones}[self.settings.nat_gateways]
        found = {}
        for az in wanted:
            self.nat_addresses[az] = aws.ec2.Eip(f"nat-{az}", domain="vpc", opts=self.child())
            found[az] = aws.ec2.NatGateway(
                f"nat-{az}",
                allocation_id=self.nat_addresses[az].id,
                subnet_id=self.subnets["public"][az].id,
                opts=self.child(depends_on=[self.gateway]),
            )
        return found
