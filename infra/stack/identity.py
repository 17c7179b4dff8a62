"""Who may deploy from GitHub: short-lived credentials by OIDC, one role a job, each for one environment.

The token's `sub` names repository and GitHub environment, so a pull request from a fork gets none of them
(docs of aws-actions/configure-aws-credentials; GitHub "OpenID Connect in AWS"). Which GitHub environment may
assume which role is `TRUSTED`: `.github/workflows` and docs/operations/delivery.md follow it.
"""

from __future__ import annotations

from typing import Any, Final

import pulumi
import pulumi_aws as aws

from infra.stack.account import Account
from infra.stack.backups import Backups
from infra.stack.component import Component
from infra.stack.edge import Edge
from infra.stack.iam import Allow, role
from infra.stack.observability import Observability
from infra.stack.registry import Registry
from infra.stack.releases import Releases
from infra.stack.settings import Settings
from infra.stack.tags import standard
from infra.stack.workflow_rights import deploy, drill, read_own, read_state

ISSUER: Final = "token.actions.githubusercontent.com"
AUDIENCE: Final = "sts.amazonaws.com"
TRUSTED: Final = {
    "preview": ("{}-preview",),
    "drill": ("{}-drill",),
    "deploy": ("{}",),
    "image": ("{}",),
    "release": ("{}", "{}-finish"),
}
"""Role → GitHub environments, `{}` standing for ours. The plain one waits for a reviewer and `-finish` for a
day to pass; the others wait for nobody, because a nightly job would wait with them, and change nothing."""


SESSION_HOURS: Final = {"drill": 6, "deploy": 2, "release": 6}
"""How long a job may last; the others are done within the usual hour."""


class Identity(Component):
    """The OIDC provider and the roles of `TRUSTED`: looks, rehearses, provisions, pushes, moves traffic."""

    def __init__(
        self,
        settings: Settings,
        account: Account,
        edge: Edge,
        registry: Registry,
        releases: Releases,
        backups: Backups,
        observability: Observability,
    ) -> None:
        super().__init__("identity", settings)
        self.roles: dict[str, pulumi.Output[str]] = {}
        """ARNs by the names of `TRUSTED`; none without a repository."""
        repository = settings.github_repository
        if repository is not None:
            provider = settings.github_oidc_provider_arn or self._issuer().arn
            trust = {name: self._trust(provider, repository, name) for name in TRUSTED}
            state = read_state(settings, account)
            # Configuration of the whole account, for previews and drift, but no data.
            look = ["job-function/ViewOnlyAccess", "SecurityAudit"]
            release = [*state, *self._release(account, edge, releases, backups)]
            made = {
                "preview": role(
                    self, "preview", trust["preview"], [*state, *read_own(settings, account)], managed=look
                ),
                "drill": role(
                    self, "drill", trust["drill"], [*state, *drill(backups)],
                    session_hours=SESSION_HOURS["drill"],
                ),
                "deploy": role(
                    self, "deploy", trust["deploy"], deploy(settings, account), managed=["PowerUserAccess"],
                    session_hours=SESSION_HOURS["deploy"],
                ),
                "image": role(self, "image", trust["image"], self._push(registry)),
                "release": role(
                    self, "release", trust["release"],
                    [*release, *self._judge(account, registry, observability)],
                    session_hours=SESSION_HOURS["release"],
                ),
            }  # fmt: skip
            self.roles = {name: one.arn for name, one in made.items()}
        self.register_outputs({})

    def _issuer(self) -> aws.iam.OpenIdConnectProvider:
        return aws.iam.OpenIdConnectProvider(
            "github", url=f"https://{ISSUER}", client_id_lists=[AUDIENCE], opts=self.child()
        )

    def _trust(self, provider: pulumi.Input[str], repository: str, name: str) -> dict[str, Any]:
        """Workflows of this repository that run in the role's GitHub environments, and no others."""
        environments = [pattern.format(self.settings.environment) for pattern in TRUSTED[name]]
        return {
            "Effect": "Allow",
            "Principal": {"Federated": provider},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {
                    f"{ISSUER}:aud": AUDIENCE,
                    f"{ISSUER}:sub": [f"repo:{repository}:environment:{one}" for one in environments],
                }
            },
        }

    def _push(self, registry: Registry) -> list[Allow]:
        return [
            Allow("Login", ["ecr:GetAuthorizationToken"], ["*"]),
            Allow(
                "Push",
                [
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:BatchGetImage",
                    "ecr:CompleteLayerUpload",
                    "ecr:DescribeImages",
                    "ecr:InitiateLayerUpload",
                    "ecr:PutImage",
                    "ecr:UploadLayerPart",
                ],
                [registry.repository.arn],
            ),
        ]

    def _judge(self, account: Account, registry: Registry, observability: Observability) -> list[Allow]:
        """Find the image, read the metrics, run the migration on an instance of this environment."""
        cluster = account.arn("eks", f"cluster/{self.settings.names.of('eks')}")
        in_cluster = [Allow("FindCluster", ["eks:DescribeCluster"], [cluster])]
        # Both tags: another system's instances of the account have an Environment too.
        whose = standard(self.settings)
        mine = {"StringEquals": {f"aws:ResourceTag/{key}": whose[key] for key in ("Project", "Environment")}}
        return [
            *self._announce(observability),
            *(in_cluster if self.settings.compute == "eks" else []),
            Allow("FindImage", ["ecr:DescribeImages", "ecr:BatchGetImage"], [registry.repository.arn]),
            Allow("FindMetrics", ["aps:ListWorkspaces", "ssm:GetCommandInvocation"], ["*"]),
            Allow(
                "ReadMetrics", ["aps:DescribeWorkspace", "aps:QueryMetrics"], [observability.workspace.arn]
            ),
            Allow(
                "MigrateWith",
                ["ssm:SendCommand"],
                [f"arn:aws:ssm:{self.settings.region}::document/AWS-RunShellScript"],
            ),
            Allow("MigrateOn", ["ssm:SendCommand"], [account.arn("ec2", "instance/*")], mine),
        ]

    def _announce(self, observability: Observability) -> list[Allow]:
        """Tell each transition; the topic is encrypted, so its publisher needs the key (SNS guide)."""
        key = observability.key
        return [
            Allow("Announce", ["sns:Publish"], [observability.alerts.arn]),
            *([Allow("SealMessages", ["kms:GenerateDataKey", "kms:Decrypt"], [key.arn])] if key else []),
        ]

    def _release(self, account: Account, edge: Edge, releases: Releases, backups: Backups) -> list[Allow]:
        """Move weights, scale both colours, switch their images, write the journal; nothing else."""
        groups = list(edge.target_groups.values())
        fleet = account.arn(
            "autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{self.settings.names.of('*')}"
        )
        return [
            Allow(
                "ReadTraffic",
                [
                    "elasticloadbalancing:DescribeListeners",
                    "elasticloadbalancing:DescribeLoadBalancers",
                    "elasticloadbalancing:DescribeRules",
                    "elasticloadbalancing:DescribeTargetGroups",
                    "elasticloadbalancing:DescribeTargetGroupAttributes",
                    "elasticloadbalancing:DescribeTargetHealth",
                    "autoscaling:DescribeAutoScalingGroups",
                    "cloudwatch:GetMetricData",
                    "ec2:DescribeInstances",
                ],
                ["*"],
            ),
            Allow(
                "MoveTraffic",
                ["elasticloadbalancing:ModifyListener"],
                [edge.listener.arn, edge.test_listener.arn],
            ),
            Allow(
                "RegisterTargets",
                ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"],
                [group.arn for group in groups],
            ),
            Allow(
                "ScaleFleet",
                [
                    "autoscaling:SetDesiredCapacity",
                    "autoscaling:UpdateAutoScalingGroup",
                    "autoscaling:TerminateInstanceInAutoScalingGroup",
                    "autoscaling:SuspendProcesses",
                    "autoscaling:ResumeProcesses",
                ],
                [fleet],
            ),
            Allow(
                "SwitchImage",
                ["ssm:GetParameter", "ssm:PutParameter"],
                [image.arn for image in releases.images.values()] + [releases.database_pointer.arn],
            ),
            Allow(
                "Journal",
                # ConditionCheckItem is how a transaction asks for the lease (DynamoDB guide, IAM).
                ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem",
                 "dynamodb:ConditionCheckItem", "dynamodb:Query"],
                [releases.table.arn],
            ),
            Allow("ReadBackups", ["s3:ListBucket"], [backups.bucket.arn]),
        ]  # fmt: skip
