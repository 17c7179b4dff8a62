"""What is refused before it costs anything: managed rules, known bad addresses, floods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi_aws as aws

from infra.stack.component import Component
from infra.stack.edge import Edge
from infra.stack.observability import Observability
from infra.stack.settings import Settings


@dataclass(frozen=True, slots=True)
class Managed:
    """A rule group of AWS; `counted` names its rules that only count."""

    name: str
    counted: tuple[str, ...] = ()


MANAGED: Final = (
    Managed("AWSManagedRulesAmazonIpReputationList"),
    # Prompts are long and talk about anything, attacks too: rules for bodies would refuse honest questions,
    # so they count only. Bodies are JSON that the service parses and never runs.
    Managed(
        "AWSManagedRulesKnownBadInputsRuleSet",
        ("Log4JRCE_BODY", "JavaDeserializationRCE_BODY", "ReactJSRCE_BODY"),
    ),
    Managed(
        "AWSManagedRulesCommonRuleSet",
        ("SizeRestrictions_BODY", "CrossSiteScripting_BODY", "GenericLFI_BODY", "GenericRFI_BODY",
         "EC2MetaDataSSRF_BODY", "NoUserAgent_HEADER"),
    ),
)  # fmt: skip


def visible(name: str) -> aws.wafv2.WebAclVisibilityConfigArgsDict:
    """Metrics and samples of one rule."""
    return {"cloudwatch_metrics_enabled": True, "sampled_requests_enabled": True, "metric_name": name}


class Waf(Component):
    """The web ACL of the load balancer, and its log without secrets."""

    def __init__(self, settings: Settings, edge: Edge, observability: Observability) -> None:
        super().__init__("waf", settings)
        acl = aws.wafv2.WebAcl(
            "waf",
            name=settings.names.of("edge"),
            scope="REGIONAL",
            default_action=aws.wafv2.WebAclDefaultActionArgs(allow=aws.wafv2.WebAclDefaultActionAllowArgs()),
            visibility_config=visible("superagent"),
            rules=[*self._managed(), self._rate(len(MANAGED))],
            opts=self.child(),
        )
        aws.wafv2.WebAclAssociation(
            "waf", resource_arn=edge.load_balancer.arn, web_acl_arn=acl.arn, opts=self.child()
        )
        # WAF insists on this prefix.
        group = observability.log_group("waf", self, name=f"aws-waf-logs-{settings.names.of('edge')}")
        aws.wafv2.WebAclLoggingConfiguration(
            "waf",
            resource_arn=acl.arn,
            log_destination_configs=[group.arn],
            redacted_fields=[
                {"single_header": {"name": "authorization"}},
                {"single_header": {"name": "x-api-key"}},
                {"single_header": {"name": "cookie"}},
            ],
            opts=self.child(),
        )
        self.register_outputs({"arn": acl.arn})

    def _managed(self) -> list[aws.wafv2.WebAclRuleArgsDict]:
        return [
            {
                "name": group.name,
                "priority": priority,
                "override_action": {"none": {}},
                "statement": {
                    "managed_rule_group_statement": {
                        "name": group.name,
                        "vendor_name": "AWS",
                        "rule_action_overrides": [
                            {"name": rule, "action_to_use": {"count": {}}} for rule in group.counted
                        ],
                    }
                },
                "visibility_config": visible(group.name),
            }
            for priority, group in enumerate(MANAGED)
        ]

    def _rate(self, priority: int) -> aws.wafv2.WebAclRuleArgsDict:
        return {
            "name": "rate",
            "priority": priority,
            "action": {"block": {}},
            "statement": {
                "rate_based_statement": {
                    "limit": self.settings.waf_requests_per_five_minutes,
                    "aggregate_key_type": "IP",
                    "evaluation_window_sec": 300,
                }
            },
            "visibility_config": visible("rate"),
        }
