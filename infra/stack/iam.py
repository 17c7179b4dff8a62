"""Policies and roles as short, typed calls; every statement says what it may do and to what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from infra.stack.component import Component

VERSION: Final = "2012-10-17"
Text = str | pulumi.Output[str]


@dataclass(frozen=True, slots=True)
class Allow:
    """One statement. A wildcard resource on actions that write needs `reason` (infra/policy checks it)."""

    sid: str
    actions: Sequence[str]
    resources: Sequence[Text]
    conditions: Mapping[str, Any] = field(default_factory=dict)

    def render(self) -> dict[str, Any]:
        statement = {
            "Sid": self.sid,
            "Effect": "Allow",
            "Action": list(self.actions),
            "Resource": list(self.resources),
        }
        return statement | ({"Condition": dict(self.conditions)} if self.conditions else {})


def document(*statements: Mapping[str, Any]) -> pulumi.Output[str]:
    """A policy document as JSON; outputs inside are resolved."""
    return pulumi.Output.json_dumps({"Version": VERSION, "Statement": [dict(one) for one in statements]})


def trust_service(
    service: str, account: Text | None = None, actions: Sequence[str] = ("sts:AssumeRole",)
) -> dict[str, Any]:
    """Who may assume a role: an AWS service, on behalf of this account only when `account` is given.

    Without that condition another account could make the service use the role (confused deputy).
    """
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": list(actions),
    }
    if account is not None:
        statement["Condition"] = {"StringEquals": {"aws:SourceAccount": account}}
    return statement


def role(
    parent: Component,
    name: str,
    trust: Mapping[str, Any],
    allow: Sequence[Allow] = (),
    managed: Sequence[str] = (),
    description: str = "",
    session_hours: int = 1,
) -> aws.iam.Role:
    """A role with one inline policy and AWS-managed policies by name; sessions last 1 to 12 hours."""
    made = aws.iam.Role(
        f"{name}-role",
        name=parent.settings.names.of(name, 64),
        description=description or f"SuperAgent {name}",
        assume_role_policy=document(trust),
        max_session_duration=session_hours * 3600,
        opts=parent.child(),
    )
    if allow:
        aws.iam.RolePolicy(
            f"{name}-policy",
            role=made.name,
            policy=document(*(statement.render() for statement in allow)),
            opts=parent.child(),
        )
    for policy in managed:
        aws.iam.RolePolicyAttachment(
            f"{name}-{policy.rsplit('/', 1)[-1]}",
            role=made.name,
            policy_arn=f"arn:aws:iam::aws:policy/{policy}",
            opts=parent.child(),
        )
    return made
