"""Rules that one key alone cannot break: settings checked together, as a table of pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any, Final

from infra.stack import addresses

if TYPE_CHECKING:
    from infra.stack.settings import Settings


@dataclass(frozen=True, slots=True)
class Violation:
    """`key` has `value`, which breaks `rule`; `fix` is an action."""

    key: str
    value: Any
    rule: str
    fix: str


Rule = Callable[["Settings"], Iterator[Violation]]


def block(settings: Settings) -> Iterator[Violation]:
    """Private IPv4 block between /16 (the VPC limit) and /20 (the ALB's need)."""
    value = settings.vpc_cidr
    try:
        network = IPv4Network(value)
    except ValueError as wrong:
        yield Violation(
            "vpc_cidr", value, f"not an IPv4 network ({wrong})", "Use a block such as 10.73.0.0/16."
        )
        return
    if not 16 <= network.prefixlen <= addresses.LARGEST_PREFIX:
        yield Violation("vpc_cidr", value, "a VPC here is a /16 to /20", "Use a block such as 10.73.0.0/16.")
    elif not network.is_private:
        yield Violation(
            "vpc_cidr", value, "the block must be private (RFC 1918)", "Use a block such as 10.73.0.0/16."
        )


def zones(settings: Settings) -> Iterator[Violation]:
    """Two AZs at least (an ALB and Multi-AZ need them), each once, each in the region."""
    found = settings.availability_zones
    fix = f'Pin them, for instance ["{settings.region}a", "{settings.region}b"].'
    if len(found) < 2:
        yield Violation("availability_zones", found, "an ALB needs subnets in at least two AZs", fix)
    if len(set(found)) != len(found):
        yield Violation("availability_zones", found, "each AZ counts once", fix)
    for az in found:
        match = addresses.AZ_NAME.fullmatch(az)
        if match is None or match["region"] != settings.region:
            yield Violation("availability_zones", az, f"not an AZ of region {settings.region}", fix)


def timings(settings: Settings) -> Iterator[Violation]:
    """Nobody's answer is cut off and nobody's cookie points into an empty colour."""
    stream, delay = settings.longest_stream_seconds, settings.deregistration_delay_seconds
    if delay < stream:
        yield Violation(
            "deregistration_delay_seconds",
            delay,
            f"shorter than the longest stream ({stream} s), which it would cut off",
            f"Set it to at least {stream} or lower superagent:longest_stream_seconds.",
        )
    needed = settings.stickiness_seconds + delay
    if settings.old_colour_life_seconds < needed:
        yield Violation(
            "old_colour_life_seconds",
            settings.old_colour_life_seconds,
            f"clients may be pinned to the old colour for stickiness {settings.stickiness_seconds} s"
            f" + drain {delay} s = {needed} s",
            f"Set it to at least {needed} or lower superagent:stickiness_seconds.",
        )
    if settings.health_check_timeout_seconds >= settings.health_check_interval_seconds:
        yield Violation(
            "health_check_timeout_seconds",
            settings.health_check_timeout_seconds,
            f"must be below the interval ({settings.health_check_interval_seconds} s)",
            "Lower it or raise superagent:health_check_interval_seconds.",
        )


def ports(settings: Settings) -> Iterator[Violation]:
    if settings.http_port == settings.test_port:
        yield Violation(
            "test_port",
            settings.test_port,
            "the test listener cannot share the production listener's port",
            "Choose another port.",
        )


def compute(settings: Settings) -> Iterator[Violation]:
    if settings.local != (settings.compute == "local"):
        yield Violation(
            "compute",
            settings.compute,
            "local belongs to the environment local and ec2 or eks to all others",
            "Use ec2 or eks in AWS and leave the key out for the stack local.",
        )


RULES: Final[tuple[Rule, ...]] = (block, zones, timings, ports, compute)


def violations(settings: Settings) -> Iterator[Violation]:
    """Every broken rule, in the order of `RULES`."""
    for rule in RULES:
        yield from rule(settings)
