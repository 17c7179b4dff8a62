"""Facts from the Pulumi program, recorded without a cloud (`infra/preview`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from infra.check.facts import Program
from infra.policy.model import Resource
from infra.preview.estate import Recorded
from infra.preview.report import broken

WEB_ACL: Final = "aws:wafv2/webAcl:WebAcl"
DATABASE: Final = "aws:rds/instance:Instance"
GROUP: Final = "aws:autoscaling/group:Group"
NODES: Final = "aws:eks/nodeGroup:NodeGroup"


def program(estate: Recorded, vcpus: Callable[[str], int] | None = None) -> Program:
    """What the rules ask of a recorded estate; `vcpus` says how many an instance type has."""
    resources = list(estate.resources.values())
    return Program(
        findings=tuple(one.message for one in broken(estate)),
        waf_rate=_rate(resources),
        database=_database(resources),
        needed_vcpus=_vcpus(resources, vcpus) if vcpus else None,
    )


def _rate(resources: list[Resource]) -> int | None:
    rules = [rule for one in resources if one.type == WEB_ACL for rule in one.at("rules", [])]
    rates = [
        int(found["limit"])
        for rule in rules
        if (found := (rule.get("statement") or {}).get("rateBasedStatement"))
    ]
    return min(rates, default=None)


def _database(resources: list[Resource]) -> dict[str, bool]:
    primary = next((one for one in resources if one.type == DATABASE and one.name == "primary"), None)
    if primary is None:
        return {}
    return {
        "multi_az": bool(primary.at("multiAz", False)),
        "protected": bool(primary.at("deletionProtection", False)) and primary.protect,
        "encrypted": bool(primary.at("storageEncrypted", False)),
        "final_snapshot": not primary.at("skipFinalSnapshot", False),
    }


def _vcpus(resources: list[Resource], vcpus: Callable[[str], int]) -> int | None:
    """Of every group at its largest, with its largest type."""
    needed = [_largest(types, vcpus) * size for types, size in _groups(resources)]
    return sum(needed) if needed else None


def _groups(resources: list[Resource]) -> list[tuple[list[str], int]]:
    found: list[tuple[list[str], int]] = []
    for one in resources:
        if one.type == GROUP:
            overrides: list[dict[str, Any]] = one.at("mixedInstancesPolicy.launchTemplate.overrides", [])
            found.append(([str(item["instanceType"]) for item in overrides], int(one.at("maxSize", 0))))
        elif one.type == NODES:
            found.append((list(one.at("instanceTypes", [])), int(one.at("scalingConfig.maxSize", 0))))
    return found


def _largest(types: list[str], vcpus: Callable[[str], int]) -> int:
    return max((vcpus(name) for name in types), default=0)
