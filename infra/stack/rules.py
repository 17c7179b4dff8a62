"""Rules that one key alone cannot break: settings checked together, as a table of pure functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any, Final

from infra.stack import addresses, pace, service_settings
from infra.stack.settings import Settings


@dataclass(frozen=True, slots=True)
class Violation:
    """`key` has `value`, which breaks `rule`; `fix` is an action."""

    key: str
    value: Any
    rule: str
    fix: str


OLDEST_EKS_MINOR: Final = 29
HTTP: Final = 80
Rule = Callable[[Settings], Iterator[Violation]]


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
    """One listener a port; outside the local system the redirect to HTTPS has the one of HTTP."""
    listeners = {"http_port": settings.http_port, "test_port": settings.test_port}
    if settings.http_port == settings.test_port:
        what = "the test listener cannot share the production listener's port"
        yield Violation("test_port", settings.test_port, what, "Choose another port.")
    if settings.metrics_port == settings.service_port:
        what = "the metrics cannot share the service's port"
        yield Violation("metrics_port", settings.metrics_port, what, "Choose another port.")
    for key in [name for name, port in listeners.items() if port == HTTP and not settings.local]:
        yield Violation(key, HTTP, "the redirect to HTTPS answers there", "Choose another port.")


def compute(settings: Settings) -> Iterator[Violation]:
    if settings.local != (settings.compute == "local"):
        yield Violation(
            "compute",
            settings.compute,
            "local belongs to the environment local and ec2 or eks to all others",
            "Use ec2 or eks in AWS and leave the key out for the stack local.",
        )


def graviton(instance_type: str) -> bool:
    """Whether a type has an ARM processor: a `g` after the generation (c7g, m7gd; not g5)."""
    return re.match(r"[a-z]+\d+g[a-z]*\.", instance_type) is not None


def certificate(settings: Settings) -> Iterator[Violation]:
    """Outside the local system nothing is served without TLS."""
    if settings.local or settings.certificate_arn:
        return
    if settings.domain is None or settings.hosted_zone_id is None:
        missing = "domain" if settings.domain is None else "hosted_zone_id"
        yield Violation(
            missing,
            None,
            "the listener needs a certificate: an own one, or a domain in a hosted zone",
            "Set superagent:domain and superagent:hosted_zone_id, or superagent:certificate_arn.",
        )


def capacity(settings: Settings) -> Iterator[Violation]:
    if settings.max_size < settings.min_size:
        yield Violation(
            "max_size",
            settings.max_size,
            f"below superagent:min_size ({settings.min_size})",
            f"Set it to at least {settings.min_size}.",
        )
    if not settings.local and not settings.instance_types:
        yield Violation("instance_types", [], "compute needs at least one type", 'Set it to ["c7i.large"].')
    arm = [name for name in settings.instance_types if graviton(name)]
    if arm and len(arm) != len(settings.instance_types):
        yield Violation(
            "instance_types",
            settings.instance_types,
            f"Graviton ({', '.join(arm)}) and x86 cannot share an image",
            "Name types of one architecture.",
        )


def safety(settings: Settings) -> Iterator[Violation]:
    """What staging and prod never do without."""
    if settings.environment not in ("staging", "prod"):
        return
    if settings.backup_retention_days < 7:
        yield Violation(
            "backup_retention_days",
            settings.backup_retention_days,
            f"{settings.environment} keeps point-in-time backups of at least 7 days",
            "Set it to 7 to 35.",
        )
    for key in ("protection", "multi_az"):
        if not getattr(settings, key):
            yield Violation(key, False, f"{settings.environment} never runs without it", "Remove the key.")
    if settings.multi_az and settings.cache_nodes < 2:
        yield Violation(
            "cache_nodes", settings.cache_nodes, "Multi-AZ needs a replica", "Set it to 2 or more."
        )


def recovery(settings: Settings) -> Iterator[Violation]:
    if settings.disaster_recovery and settings.replica_region == settings.region:
        yield Violation(
            "replica_region",
            settings.replica_region,
            "a copy in the same region dies with it",
            "Name another region.",
        )
    for az in settings.replica_availability_zones if settings.cross_region_replica else ():
        match = addresses.AZ_NAME.fullmatch(az)
        if match is None or match["region"] != settings.replica_region:
            yield Violation(
                "replica_availability_zones",
                az,
                f"not an AZ of the replica region {settings.replica_region}",
                f'Set it to ["{settings.replica_region}a", "{settings.replica_region}b"].',
            )
    for key in ("read_replica", "cross_region_replica"):
        if getattr(settings, key) and settings.backup_retention_days == 0:
            yield Violation(
                key,
                True,
                "RDS replicates only databases that have backups",
                "Set superagent:backup_retention_days to at least 1.",
            )
    if settings.cross_region_replica and not settings.disaster_recovery:
        yield Violation(
            "cross_region_replica",
            True,
            "the replica is encrypted with the key of the second region, which disaster_recovery makes",
            "Set superagent:disaster_recovery to true.",
        )
    if settings.backup_keep_days < settings.backup_lock_days:
        yield Violation(
            "backup_keep_days",
            settings.backup_keep_days,
            f"an object cannot expire before its lock of {settings.backup_lock_days} days ends",
            f"Set it to at least {settings.backup_lock_days}.",
        )


def database(settings: Settings) -> Iterator[Violation]:
    if settings.local:
        return
    for key, prefix in (("database_class", "db."), ("cache_node_type", "cache.")):
        value = getattr(settings, key)
        if not value.startswith(prefix) or value.count(".") != 2:
            yield Violation(
                key, value, f"not a type such as {prefix}m7g.large", "Name one that the region has."
            )


def releases(settings: Settings) -> Iterator[Violation]:
    if problem := pace.wrong(settings.release_steps):
        yield Violation(
            "release_steps",
            list(settings.release_steps),
            problem,
            "Write for example [10, 50, 100], or canary.",
        )


def access(settings: Settings) -> Iterator[Violation]:
    """Every CIDR list holds networks, and the cluster's API is not open to the world."""
    for key in ("client_cidrs", "eks_public_cidrs"):
        for cidr in getattr(settings, key):
            try:
                IPv4Network(cidr)
            except ValueError as wrong:
                yield Violation(key, cidr, f"not an IPv4 network ({wrong})", "Write it as 203.0.113.0/24.")
    if "0.0.0.0/0" in settings.eks_public_cidrs:
        yield Violation(
            "eks_public_cidrs",
            "0.0.0.0/0",
            "the cluster's API is not for the whole internet",
            "Name your networks, or leave the key out and use the VPC.",
        )


def cluster(settings: Settings) -> Iterator[Violation]:
    """The pods' sidecar ends after its service and never keeps a Job alive: native since 1.29."""
    if settings.compute == "eks" and int(settings.eks_version.split(".")[1]) < OLDEST_EKS_MINOR:
        yield Violation(
            "eks_version",
            settings.eks_version,
            f"pods here need native sidecars, which are on since 1.{OLDEST_EKS_MINOR}",
            f"Set it to 1.{OLDEST_EKS_MINOR} or newer; `aws eks describe-cluster-versions` lists them.",
        )


def delivery(settings: Settings) -> Iterator[Violation]:
    if settings.github_repository is not None and settings.state_bucket is None:
        yield Violation(
            "state_bucket",
            None,
            "the workflows of superagent:github_repository could not read Pulumi's state",
            "Name the bucket of `pulumi login s3://…`.",
        )


def service(settings: Settings) -> Iterator[Violation]:
    for problem in service_settings.wrong(settings):
        yield Violation(*problem)


RULES: Final[tuple[Rule, ...]] = (
    block,
    zones,
    timings,
    ports,
    compute,
    certificate,
    capacity,
    safety,
    recovery,
    database,
    releases,
    access,
    cluster,
    delivery,
    service,
)


def violations(settings: Settings) -> Iterator[Violation]:
    """Every broken rule, in the order of `RULES`."""
    for rule in RULES:
        yield from rule(settings)
