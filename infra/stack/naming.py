"""Names: one rule for all of them, so that a name says project, environment and purpose and always fits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

PROJECT: Final = "superagent"
STACK_TYPE: Final = "pulumi:pulumi:Stack"
"""Type of the root that Pulumi gives every stack."""
REQUIRED_TAGS: Final = ("Project", "Environment", "ManagedBy", "Name")
LOAD_BALANCER_LIMIT: Final = 32
"""Characters of an ALB or target-group name (ELBv2 API reference, CreateLoadBalancer)."""
AUTONAME_SUFFIX: Final = 8
"""What Pulumi appends to a logical name when it names a resource itself: a hyphen and seven hex digits."""
HASH_LENGTH: Final = 6


def fit(name: str, limit: int) -> str:
    """`name`, or its beginning and a hash of the whole when it is longer than `limit` characters.

    Two long names that share their beginning stay different; the result never ends in a hyphen.
    """
    if limit <= HASH_LENGTH + 1:
        raise ValueError(f"limit {limit} leaves no room for a hash of {HASH_LENGTH} characters")
    if len(name) <= limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:HASH_LENGTH]
    return f"{name[: limit - HASH_LENGTH - 1].rstrip('-')}-{digest}"


@dataclass(frozen=True, slots=True)
class Names:
    """Names of one environment."""

    environment: str

    def of(self, purpose: str, limit: int = 63) -> str:
        """`superagent-<environment>-<purpose>`, cut with a hash at `limit` characters."""
        return fit(f"{PROJECT}-{self.environment}-{purpose}", limit)

    def autonamed(self, purpose: str, limit: int = LOAD_BALANCER_LIMIT) -> str:
        """A logical name that leaves room for the suffix which Pulumi adds.

        Needed for what is replaced create-before-delete (target groups): old and new coexist, so the
        physical name must differ (pulumi/pulumi-aws#1317).
        """
        return self.of(purpose, limit - AUTONAME_SUFFIX)

    def path(self, *parts: str) -> str:
        """A slash path as SSM and log groups use it: `/superagent/<environment>/…`."""
        return "/".join(["", PROJECT, self.environment, *parts])
