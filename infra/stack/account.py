"""The account and region that the program runs in, asked once."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.stack.settings import Settings


@dataclass(frozen=True, slots=True)
class Account:
    """Account id and the beginnings of ARNs."""

    id: pulumi.Output[str]
    region: str

    def arn(self, service: str, resource: str) -> pulumi.Output[str]:
        """`arn:aws:<service>:<region>:<account>:<resource>`."""
        return pulumi.Output.format("arn:aws:{0}:{1}:{2}:{3}", service, self.region, self.id, resource)


def current(settings: Settings) -> Account:
    """Ask STS; the local system has an account of its own and asks nobody."""
    if settings.local:
        return Account(pulumi.Output.from_input("123456789012"), settings.region)
    return Account(aws.get_caller_identity_output().account_id, settings.region)
