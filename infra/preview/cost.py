"""What an estate costs a month, roughly: fixed prices of what is declared, traffic left out.

The fleet counts one colour at its floor (`MinSize`); the idle colour has no instances between releases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from infra.policy.model import Resource
from infra.preview.estate import Recorded

HOURS: Final = 730
PRICES: Final = Path(__file__).with_name("prices.yaml")


@cache
def prices() -> dict[str, Any]:
    """The price table with its date and sources."""
    table: dict[str, Any] = yaml.safe_load(PRICES.read_text())
    return table


@dataclass(slots=True)
class Estimate:
    """USD a month by component; `unpriced` names what the table does not know."""

    components: dict[str, float] = field(default_factory=dict)
    unpriced: list[str] = field(default_factory=list)

    @property
    def total(self) -> float:
        return sum(self.components.values())


class UnknownPriceError(KeyError):
    """The table has no price for a type."""


def hourly(kind: str, name: str | None = None) -> float:
    """Monthly price of something that is paid by the hour."""
    entry = prices()["hour"][kind]
    if name is not None:
        if name not in entry:
            raise UnknownPriceError(name)
        entry = entry[name]
    return float(entry) * HOURS


def monthly(kind: str) -> float:
    return float(prices()["month"][kind])


def _database(one: Resource) -> float:
    copies = 2 if one.at("multiAz") else 1
    storage = one.at("allocatedStorage", 0) * monthly("rds_gp3_gib")
    return copies * (hourly("rds", one.at("instanceClass")) + float(storage))


def _fleet(one: Resource) -> float:
    tags = {tag["key"]: tag["value"] for tag in one.at("tags", [])}
    if tags.get("Colour") != "blue":
        return 0.0
    overrides = one.at("mixedInstancesPolicy.launchTemplate.overrides", [])
    return int(tags.get("MinSize", 0)) * hourly("ec2", overrides[0]["instanceType"])


def _nodes(one: Resource) -> float:
    return float(one.at("scalingConfig.desiredSize", 0)) * hourly("ec2", one.at("instanceTypes")[0])


def _endpoint(one: Resource) -> float:
    if one.at("vpcEndpointType") != "Interface":
        return 0.0
    return len(one.at("subnetIds", [])) * hourly("interface_endpoint_az")


def _cache(one: Resource) -> float:
    return float(one.at("numCacheClusters", 1)) * hourly("cache", one.at("nodeType"))


def _acl(one: Resource) -> float:
    return monthly("waf_acl") + len(one.at("rules", [])) * monthly("waf_rule")


PRICED: Final[Mapping[str, Callable[[Resource], float]]] = {
    "aws:rds/instance:Instance": _database,
    "aws:autoscaling/group:Group": _fleet,
    "aws:eks/nodeGroup:NodeGroup": _nodes,
    "aws:ec2/vpcEndpoint:VpcEndpoint": _endpoint,
    "aws:elasticache/replicationGroup:ReplicationGroup": _cache,
    "aws:wafv2/webAcl:WebAcl": _acl,
    "aws:ec2/natGateway:NatGateway": lambda _: hourly("nat_gateway"),
    "aws:ec2/eip:Eip": lambda _: hourly("public_ipv4"),
    "aws:lb/loadBalancer:LoadBalancer": lambda one: (
        hourly("load_balancer") + len(one.at("subnets", [])) * hourly("public_ipv4")
    ),
    "aws:eks/cluster:Cluster": lambda _: hourly("eks_cluster"),
    "aws:kms/key:Key": lambda _: monthly("kms_key"),
    "aws:secretsmanager/secret:Secret": lambda _: monthly("secret"),
    "aws:cloudwatch/metricAlarm:MetricAlarm": lambda _: monthly("alarm"),
    "aws:grafana/workspace:Workspace": lambda _: monthly("grafana_editor"),
}


def estimate(estate: Recorded) -> Estimate:
    """Cost by component. Nothing in the local stack costs anything."""
    found: dict[str, float] = defaultdict(float)
    result = Estimate()
    if estate.environment == "local":
        return result
    for urn, one in estate.resources.items():
        price = PRICED.get(one.type)
        if price is None:
            continue
        try:
            found[estate.component(urn)] += price(one)
        except UnknownPriceError as unknown:
            result.unpriced.append(f"{one.name} ({unknown.args[0]})")
    result.components = {name: round(usd, 2) for name, usd in sorted(found.items()) if usd}
    return result
