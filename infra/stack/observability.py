"""How the estate speaks up: topics, logs, metrics, alarms."""

from __future__ import annotations

import pulumi_aws as aws

from infra.stack.component import Component
from infra.stack.settings import Settings


class Observability(Component):
    """The alert topic."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("observability", settings)
        self.alerts = aws.sns.Topic("alerts", name=settings.names.of("alerts"), opts=self.child())
        self.register_outputs({"alerts": self.alerts.arn})
