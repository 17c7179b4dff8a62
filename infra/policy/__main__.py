"""The rules as a CrossGuard pack: `pulumi up --policy-pack infra/policy`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    ReportViolation,
    StackValidationArgs,
    StackValidationPolicy,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from infra.policy.model import Estate, Resource, Rule
from infra.policy.rules import RULES


def environment_of(resources: list[Resource]) -> str:
    """The environment, from the tag that everything carries; `prod` (the strictest) when nothing says it."""
    for one in resources:
        tags = one.inputs.get("tags")
        if isinstance(tags, dict) and tags.get("Environment"):
            return str(tags["Environment"])
    return "prod"


def seen(args: StackValidationArgs) -> Estate:
    """CrossGuard's resources in the words of the rules."""
    resources = [
        Resource(
            type=one.resource_type,
            name=one.name,
            urn=one.urn,
            inputs=dict(one.props),
            # CrossGuard hands secrets over in the clear; their inputs are not told apart here,
            # so that rule runs in the offline preview.
            secrets=("/",),
            protect=one.opts.protect,
            ignore_changes=tuple(one.opts.ignore_changes),
        )
        for one in args.resources
    ]
    return Estate(environment_of(resources), resources)


def validator(rule: Rule) -> Callable[[StackValidationArgs, ReportViolation], None]:
    """A rule in CrossGuard's form."""

    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        estate = seen(args)
        if rule.local or estate.environment != "local":
            for one, message in rule.check(estate):
                report(f"{one.name} {message}", one.urn)

    return validate


def pack() -> Any:
    """Register every rule; the constructor connects to the Pulumi engine."""
    return PolicyPack(
        name="superagent",
        enforcement_level=EnforcementLevel.MANDATORY,
        policies=[
            StackValidationPolicy(name=rule.name, description=rule.description, validate=validator(rule))
            for rule in RULES
        ],
    )


if __name__ == "__main__":
    pack()
