"""Tags on everything that can carry them, put there by one transformation so that no component forgets."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Final

import pulumi

from infra.stack.naming import PROJECT
from infra.stack.settings import Settings

LIST_OF_TAGS: Final = frozenset({"aws:autoscaling/group:Group"})
"""Types whose `tags` is a list with propagation flags; their component writes it with `propagated`."""


def standard(settings: Settings) -> dict[str, str]:
    """Tags that say whose a resource is."""
    return {"Project": PROJECT, "Environment": settings.environment, "ManagedBy": "pulumi"}


def named(settings: Settings, name: str) -> dict[str, str]:
    """Standard tags and `Name`."""
    return {**standard(settings), "Name": settings.names.of(name, 128)}


def propagated(settings: Settings, name: str) -> dict[str, str]:
    """Tags for what AWS creates for us (instances, volumes, interfaces): default tags never reach those."""
    return named(settings, name)


def tag_everything(settings: Settings) -> None:
    """From here on every AWS resource that accepts a map of tags gets the standard ones; its own win."""

    def add(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if not args.type_.startswith("aws:") or args.type_ in LIST_OF_TAGS:
            return None
        if not _accepts_tags(type(args.resource)):
            return None
        own = args.props.get("tags") or {}
        if not isinstance(own, Mapping):
            return None
        props = {**args.props, "tags": {**named(settings, args.name), **own}}
        return pulumi.ResourceTransformationResult(props, args.opts)

    pulumi.runtime.register_stack_transformation(add)


def _accepts_tags(resource: type[pulumi.Resource]) -> bool:
    constructor = getattr(resource, "_internal_init", resource.__init__)
    return "tags" in inspect.signature(constructor).parameters
