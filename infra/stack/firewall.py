"""Security groups and their rules in one line each; every rule is a resource of its own and says why."""

from __future__ import annotations

from typing import Literal

import pulumi
import pulumi_aws as aws

from infra.stack.component import Component

Ports = int | tuple[int, int] | None
"""One port, a range, or None for every protocol and port."""


def group(
    parent: Component, name: str, vpc_id: pulumi.Output[str], description: str
) -> aws.ec2.SecurityGroup:
    """A group without rules; names are replaced create-before-delete, hence the prefix."""
    return aws.ec2.SecurityGroup(
        name,
        name=parent.settings.names.of(name),
        description=description,
        vpc_id=vpc_id,
        opts=parent.child(),
    )


def rule(
    parent: Component,
    name: str,
    direction: Literal["in", "out"],
    of: aws.ec2.SecurityGroup,
    ports: Ports,
    why: str,
    *,
    peer: aws.ec2.SecurityGroup | pulumi.Output[str] | None = None,
    cidr: pulumi.Input[str] | None = None,
    prefix_list: pulumi.Output[str] | None = None,
) -> None:
    """Let `of` talk to (out) or hear from (in) a group, a network or a prefix list."""
    first, last = ports if isinstance(ports, tuple) else (ports, ports)
    kind = aws.vpc.SecurityGroupIngressRule if direction == "in" else aws.vpc.SecurityGroupEgressRule
    kind(
        name,
        security_group_id=of.id,
        description=why,
        ip_protocol="-1" if ports is None else "tcp",
        from_port=first,
        to_port=last,
        cidr_ipv4=cidr,
        prefix_list_id=prefix_list,
        referenced_security_group_id=peer.id if isinstance(peer, aws.ec2.SecurityGroup) else peer,
        opts=parent.child(),
    )
