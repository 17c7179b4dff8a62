"""Who talked to whom: VPC flow logs, kept as long as all logs."""

from __future__ import annotations

import pulumi_aws as aws

from infra.stack.account import Account
from infra.stack.component import Component
from infra.stack.iam import Allow, role, trust_service
from infra.stack.network import Network
from infra.stack.observability import Observability
from infra.stack.settings import Settings


class FlowLogs(Component):
    """Flow logs of the VPC into an encrypted log group."""

    def __init__(
        self, settings: Settings, network: Network, observability: Observability, account: Account
    ) -> None:
        super().__init__("flow-logs", settings)
        group = observability.log_group("flow", self)
        writer = role(
            self,
            "flow-logs",
            trust_service("vpc-flow-logs.amazonaws.com", account.id),
            [
                Allow(
                    "WriteFlowLogs",
                    ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
                    [group.arn.apply(lambda arn: f"{arn}:*")],
                )
            ],
        )
        aws.ec2.FlowLog(
            "vpc",
            vpc_id=network.vpc_id,
            traffic_type="ALL",
            log_destination=group.arn,
            iam_role_arn=writer.arn,
            max_aggregation_interval=60,
            opts=self.child(),
        )
        self.register_outputs({})
