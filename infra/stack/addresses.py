"""Which subnet has which addresses: pure arithmetic that depends on an AZ's name, never on its position.

A block is cut in a private half (pods and instances live there), a public and a data quarter; each of
them in eight slots, one per AZ letter. Adding or removing an AZ therefore moves no other subnet
(pulumi/pulumi-awsx#493).
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import Final, Literal

Tier = Literal["public", "private", "data"]
TIERS: Final[tuple[Tier, ...]] = ("public", "private", "data")
SLOTS: Final = 8
"""AZ letters a to h; the largest region of today has six."""
SLOT_BITS: Final = 3
AZ_NAME: Final = re.compile(r"(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)(?P<letter>[a-h])")
LARGEST_PREFIX: Final = 20
"""A /20 gives public subnets of /25; an ALB wants a /27 with 8 free addresses at least."""


def slot(az: str) -> int:
    """The slot of an AZ: 0 for `…a`, 7 for `…h`. Raises ValueError for a name of another form."""
    match = AZ_NAME.fullmatch(az)
    if match is None:
        raise ValueError(f"{az!r} is not an availability zone name such as eu-central-1a")
    return ord(match["letter"]) - ord("a")


def subnet(block: str, tier: Tier, az: str) -> str:
    """The CIDR of the subnet of `tier` in `az`, inside the VPC's `block`."""
    lower, upper = IPv4Network(block).subnets(prefixlen_diff=1)
    quarters = list(upper.subnets(prefixlen_diff=1))
    whole = {"private": lower, "public": quarters[0], "data": quarters[1]}[tier]
    return str(list(whole.subnets(prefixlen_diff=SLOT_BITS))[slot(az)])
