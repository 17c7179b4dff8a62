"""What was seen of an environment: plain values, so that rules need no cloud and tests make their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that could not be looked at: what was in the way, and how to clear it where that is known."""

    why: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """The Pulumi program as it stands in this checkout, recorded without a cloud."""

    findings: tuple[str, ...]
    """Broken policies."""
    waf_rate: int | None
    """Requests of one address in five minutes above which WAF answers 403."""
    database: Mapping[str, bool]
    """`multi_az`, `protected`, `encrypted`, `final_snapshot`; empty where the program has no database."""
    needed_vcpus: int | None
    """Of both colours at their largest; `None` where no instances are made."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One listener of the load balancer, as its API describes it."""

    port: int
    protocol: str
    policy: str
    redirects: bool


@dataclass(frozen=True, slots=True)
class Backup:
    """The newest backup of a kind, and the newest that was read back whole."""

    newest: datetime | None
    verified: datetime | None


@dataclass(frozen=True, slots=True)
class Drill:
    """The newest rehearsal."""

    at: datetime
    passed: bool
    rpo_seconds: float
    rto_seconds: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """Where requests go."""

    weights: Mapping[str, int]
    healthy: Mapping[str, tuple[int, int]]
    """Colour → healthy targets, all targets."""


@dataclass(frozen=True, slots=True)
class Release:
    """The newest release, and how the next one would move traffic."""

    version: str
    phase: str
    ended: bool
    forced: str
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret; never its value."""

    name: str
    changed: datetime | None
    """`None`: it has no value yet."""
    rotates: bool
    """It is replaced by itself."""
    private: bool = True
    """Only its owner may read it (files)."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit of the account or the machine, and what this environment may need of it."""

    name: str
    needed: float
    allowed: float


UNSEEN = Missing("not looked at")


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the rules may ask."""

    environment: str
    local: bool
    now: datetime
    program: Program | Missing = UNSEEN
    listeners: tuple[Listener, ...] | Missing = UNSEEN
    certificate_ends: datetime | Missing | None = UNSEEN
    """Of the certificate that a client is shown; `None` where nothing speaks TLS."""
    front_status: int | Missing = UNSEEN
    """Answer to a request without a key."""
    limiter: bool | Missing = UNSEEN
    """Whether the service's limiter counts (its metric exists)."""
    targets: Mapping[str, tuple[int, int]] | Missing = UNSEEN
    """Scrape job → targets that are up, all targets."""
    watchdog: bool | Missing = UNSEEN
    """Whether the alert that always fires, fires."""
    firing: tuple[str, ...] | Missing = UNSEEN
    """Critical alerts that fire now."""
    receivers: tuple[str, ...] | Missing = UNSEEN
    """Who is told: the kind of each confirmed receiver."""
    backups: Mapping[str, Backup] | Missing = UNSEEN
    drill: Drill | Missing | None = UNSEEN
    traffic: Traffic | Missing = UNSEEN
    release: Release | Missing | None = UNSEEN
    secrets: tuple[Secret, ...] | Missing = UNSEEN
    quotas: tuple[Quota, ...] | Missing = UNSEEN
    jobs: tuple[str, ...] = field(default=("superagent", "node", "postgres", "redis", "blackbox"))
    """Scrape jobs that must be there (docs/observability.md, "Metrics")."""
