"""How the estate speaks up: the alert topic, log groups, the metric store and its rules."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pulumi
import pulumi_aws as aws

from infra.home import CHECKOUT
from infra.stack.account import Account
from infra.stack.component import Component
from infra.stack.iam import Allow, document, role, trust_service
from infra.stack.secrets import PUBLISHERS, RULES_OF_EVENTS, Secrets
from infra.stack.settings import Settings

RULES: Final = CHECKOUT / "alerts" / "rules"
ALERTMANAGER: Final = CHECKOUT / "alerts" / "alertmanager" / "amp.yml"
GRAFANA_VERSION: Final = "10.4"
METRIC_RETENTION_DAYS: Final = 150


def rule_files(folder: Path = RULES) -> dict[str, str]:
    """Name and text of every Prometheus rule file; empty when the folder is not there."""
    return {path.stem: path.read_text() for path in sorted(folder.glob("*.yml"))}


class Observability(Component):
    """Everything later components report to. In the local system only the topic."""

    workspace: aws.amp.Workspace

    def __init__(self, settings: Settings, account: Account, secrets: Secrets | None) -> None:
        super().__init__("observability", settings)
        self.key = secrets.log_key if secrets else None
        self.alerts = aws.sns.Topic(
            "alerts",
            name=settings.names.of("alerts"),
            kms_master_key_id=self.key.arn if self.key else None,
            opts=self.child(),
        )
        if settings.alert_email is not None:
            aws.sns.TopicSubscription(
                "alerts-email",
                topic=self.alerts.arn,
                protocol="email",
                endpoint=settings.alert_email,
                opts=self.child(),
            )
        if not settings.local:
            self._publishers(account)
            self.service_logs = self.log_group("service", self)
            self.workspace = self._workspace()
            if settings.managed_grafana:
                self._grafana(account)
        self.register_outputs({"alerts": self.alerts.arn})

    def log_group(
        self, purpose: str, parent: Component, *, name: str | None = None
    ) -> aws.cloudwatch.LogGroup:
        """An encrypted log group with the environment's retention, as a child of `parent`.

        `name` is for services that insist on their own; the rule is `/superagent/<environment>/<purpose>`.
        """
        return aws.cloudwatch.LogGroup(
            purpose,
            name=name or self.settings.names.path(purpose),
            retention_in_days=self.settings.log_retention_days,
            kms_key_id=self.key.arn if self.key else None,
            opts=parent.child(),
        )

    def _publishers(self, account: Account) -> None:
        """AWS services of this account may publish; nobody else, and only over TLS."""
        aws.sns.TopicPolicy(
            "alerts",
            arn=self.alerts.arn,
            policy=document(
                {
                    "Sid": "ServicesPublish",
                    "Effect": "Allow",
                    "Principal": {"Service": list(PUBLISHERS)},
                    "Action": "sns:Publish",
                    "Resource": self.alerts.arn,
                    "Condition": {"StringEquals": {"aws:SourceAccount": account.id}},
                },
                {
                    # With a condition on the account its messages are dropped without a word (AWS re:Post,
                    # "SNS topic isn't receiving EventBridge notifications"; awsdocs, "sourceaccount not
                    # supported for events"). A rule of somebody else's could send a message, and no more.
                    "Sid": "RulesPublish",
                    "Effect": "Allow",
                    "Principal": {"Service": RULES_OF_EVENTS},
                    "Action": "sns:Publish",
                    "Resource": self.alerts.arn,
                },
                {
                    "Sid": "TlsOnly",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "sns:Publish",
                    "Resource": self.alerts.arn,
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                },
            ),
            opts=self.child(),
        )

    def _workspace(self) -> aws.amp.Workspace:
        """The Prometheus workspace with the rules and routes of `alerts/`."""
        log = self.log_group("prometheus", self)
        arn = log.arn.apply(lambda arn: f"{arn}:*")
        workspace = aws.amp.Workspace(
            "metrics",
            alias=self.settings.names.of("metrics"),
            logging_configuration={"log_group_arn": arn},
            kms_key_arn=self.key.arn if self.key else None,
            opts=self.guarded(),
        )
        aws.amp.WorkspaceConfiguration(
            "metrics",
            workspace_id=workspace.id,
            retention_period_in_days=METRIC_RETENTION_DAYS,
            opts=self.child(),
        )
        for name, text in rule_files().items():
            aws.amp.RuleGroupNamespace(
                name, name=name, workspace_id=workspace.id, data=text, opts=self.child()
            )
        if ALERTMANAGER.exists():
            aws.amp.AlertManagerDefinition(
                "alertmanager",
                workspace_id=workspace.id,
                definition=self._routes(ALERTMANAGER.read_text()),
                opts=self.child(),
            )
        return workspace

    def _routes(self, text: str) -> pulumi.Output[str]:
        """The routing file with this estate's topic and region in the places that it leaves open."""
        region = self.settings.region
        return self.alerts.arn.apply(
            lambda arn: text.replace("${topic_arn}", arn).replace("${region}", region)
        )

    def _grafana(self, account: Account) -> None:
        """Managed Grafana that may read metrics, logs and alarms, and nothing else."""
        reader = role(
            self,
            "grafana",
            trust_service("grafana.amazonaws.com", account.id),
            [
                Allow(
                    "ReadMetrics",
                    ["aps:QueryMetrics", "aps:GetMetricMetadata", "aps:GetSeries", "aps:GetLabels",
                     "aps:DescribeWorkspace", "aps:ListRules", "aps:ListAlertManagerAlerts"],
                    [self.workspace.arn],
                ),
                Allow(
                    "ReadCloudWatch",
                    ["cloudwatch:GetMetricData", "cloudwatch:ListMetrics", "cloudwatch:DescribeAlarms",
                     "aps:ListWorkspaces", "logs:DescribeLogGroups", "tag:GetResources"],
                    ["*"],
                ),
                Allow(
                    "QueryLogs",
                    ["logs:StartQuery", "logs:StopQuery", "logs:GetQueryResults", "logs:GetLogEvents"],
                    [account.arn("logs", f"log-group:{self.settings.names.path('*')}")],
                ),
            ],
        )  # fmt: skip
        aws.grafana.Workspace(
            "dashboards",
            name=self.settings.names.of("dashboards"),
            account_access_type="CURRENT_ACCOUNT",
            authentication_providers=["AWS_SSO"],
            permission_type="CUSTOMER_MANAGED",
            data_sources=["PROMETHEUS", "CLOUDWATCH"],
            grafana_version=GRAFANA_VERSION,
            role_arn=reader.arn,
            opts=self.child(),
        )
