"""What every component has in common: its Pulumi type, its settings, its children's options."""

from __future__ import annotations

import pulumi

from infra.stack.naming import PROJECT
from infra.stack.settings import Settings


class Component(pulumi.ComponentResource):
    """A named group of resources; children get it as parent, so that it is one branch of the tree."""

    def __init__(self, name: str, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"{PROJECT}:stack:{type(self).__name__}", name, None, opts)
        self.settings = settings

    def child(self, **options: object) -> pulumi.ResourceOptions:
        """Options of a child: this component as parent, and what else is given."""
        return pulumi.ResourceOptions(parent=self, **options)  # type: ignore[arg-type]

    def guarded(self, **options: object) -> pulumi.ResourceOptions:
        """Options of a child that holds data: `protect` wherever the settings ask for protection."""
        return self.child(protect=self.settings.protection, **options)
