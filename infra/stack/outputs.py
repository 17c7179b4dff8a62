"""The outputs of the Pulumi program: the only thing that release, recovery and preview know of a stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Colour = Literal["blue", "green"]
LOCAL_DRILL_KEY = "file:drill_key"
COLOURS: tuple[Colour, Colour] = ("blue", "green")


@dataclass(frozen=True, slots=True)
class StackOutputs:
    """One environment as `infra/__main__.py` exports it (the field names are the output names)."""

    environment: str
    """`local`, `dev`, `staging` or `prod`."""
    region: str
    compute: Literal["ec2", "eks", "local"]
    vpc_id: str
    alb_arn: str
    alb_dns_name: str
    listener_arn: str
    """Production listener; its default action's weights belong to `infra/release`."""
    test_listener_arn: str
    """Forwards to the idle colour only; smoke tests go through it."""
    target_group_arns: dict[Colour, str]
    image_parameters: dict[Colour, str]
    """SSM parameter names; the value is the image (in `local`: the version label) of that colour."""
    release_table: str
    """DynamoDB table of the release journal: partition key `pk`, sort key `sk`, both strings."""
    backup_bucket: str
    database_pointer: str
    """SSM parameter, `INSTANCE/DATABASE` in use (infra/stack/pointer.py); a cutover changes it alone."""
    alert_topic_arn: str
    release_steps: Sequence[int] = ()
    """Per cents of traffic for the new colour, step by step; empty (a stack from before this output): the
    profile's."""
    release_bake_seconds: float | None = None
    """How long each step is watched; `None`: the profile's."""
    drill_key: str = LOCAL_DRILL_KEY
    """What signs drill reports: `kms:` and the ARN of an HMAC key, or `file:` and the name of a secret."""
