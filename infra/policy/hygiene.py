"""Rules for order: tags, log retention, image tags, one owner for what the release tool moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from infra.policy.access import LISTENER
from infra.policy.data import LAUNCH_TEMPLATE
from infra.policy.model import Complaint, Estate
from infra.stack.naming import AUTONAME_SUFFIX, LOAD_BALANCER_LIMIT, REQUIRED_TAGS

GROUP: Final = "aws:autoscaling/group:Group"
TAGGED_KINDS: Final = {"instance", "volume", "network-interface"}


def tags(estate: Estate) -> Iterator[Complaint]:
    for one in estate.resources:
        given = one.at("tags")
        if isinstance(given, dict):
            missing = [key for key in REQUIRED_TAGS if not given.get(key)]
            if missing:
                yield one, f"lacks the tag {', '.join(missing)}"
    for one in estate.of(GROUP):
        keys = {tag["key"] for tag in one.at("tags", []) if tag.get("propagateAtLaunch")}
        missing = sorted(set(REQUIRED_TAGS) - keys)
        if missing:
            yield one, f"does not hand {', '.join(missing)} to its instances (default tags never reach them)"
    for one in estate.of(LAUNCH_TEMPLATE):
        kinds = {item.get("resourceType") for item in one.at("tagSpecifications", [])}
        missing = sorted(TAGGED_KINDS - kinds)
        if missing:
            yield one, f"leaves {', '.join(missing)} without tags: add tagSpecifications"


def log_retention(estate: Estate) -> Iterator[Complaint]:
    for one in estate.of("aws:cloudwatch/logGroup:LogGroup"):
        if not one.at("retentionInDays"):
            yield one, "keeps logs for ever: set retentionInDays"


def image_tags(estate: Estate) -> Iterator[Complaint]:
    for one in estate.of("aws:ecr/repository:Repository"):
        if one.at("imageTagMutability") != "IMMUTABLE":
            yield one, "lets a tag move to another image: set imageTagMutability to IMMUTABLE"
        if one.at("imageScanningConfiguration.scanOnPush") is not True:
            yield one, "does not scan images: set scanOnPush"


def one_owner(estate: Estate) -> Iterator[Complaint]:
    """What the release tool moves, Pulumi ignores as a whole."""
    for one in estate.of(LISTENER):
        forwards = any(action.get("type") == "forward" for action in one.at("defaultActions", []))
        if forwards and "defaultActions" not in one.ignore_changes:
            yield one, "would reset the weights: ignore the whole defaultActions"
    for one in estate.of(GROUP):
        for key in ("desiredCapacity", "minSize"):
            if key not in one.ignore_changes:
                yield one, f"would reset the fleet: ignore {key}"
        versions = [
            one.at("launchTemplate.version"),
            one.at("mixedInstancesPolicy.launchTemplate.launchTemplateSpecification.version"),
        ]
        if any(str(version).startswith("$") for version in versions if version is not None):
            yield one, "follows $Latest, which never is a change: pass latest_version"


def names(estate: Estate) -> Iterator[Complaint]:
    for one in estate.of("aws:lb/loadBalancer:LoadBalancer", "aws:lb/targetGroup:TargetGroup"):
        given = one.at("name")
        length = len(given) if given else len(one.name) + AUTONAME_SUFFIX
        if length > LOAD_BALANCER_LIMIT:
            yield one, f"has a name of {length} characters; ELB takes {LOAD_BALANCER_LIMIT}"
