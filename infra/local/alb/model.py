"""What the load balancer has to do, as the ELBv2 API describes it: typed, comparable, free of I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class Target:
    """One registered (or still draining) address; `draining` targets get no new request."""

    id: str
    port: int
    draining: bool


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Seconds and counts as the target group says; `matcher` such as `200` or `200-299,301`."""

    enabled: bool
    path: str
    port: int | None
    """`None`: the port that takes the traffic."""
    interval: float
    timeout: float
    healthy_threshold: int
    unhealthy_threshold: int
    matcher: str


@dataclass(frozen=True, slots=True)
class TargetGroup:
    """A target group with everything that shapes traffic to it."""

    arn: str
    name: str
    http2: bool
    least_outstanding: bool
    sticky_seconds: int | None
    """Life of the target cookie; `None` when target stickiness is off."""
    health: HealthCheck
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Forward:
    """Weighted target groups (ARN, weight) and the life of the group cookie; `None`: not sticky."""

    groups: tuple[tuple[str, int], ...]
    sticky_seconds: int | None


@dataclass(frozen=True, slots=True)
class FixedResponse:
    """An answer that the load balancer gives itself."""

    status: int
    body: str
    content_type: str


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirect; its parts may hold `#{protocol}`, `#{host}`, `#{port}`, `#{path}`, `#{query}`."""

    status: int
    protocol: str
    host: str
    port: str
    path: str
    query: str


@dataclass(frozen=True, slots=True)
class Unsupported:
    """An action that exists in AWS and not here; requests to it get a 500 that says so."""

    what: str


Action = Forward | FixedResponse | Redirect | Unsupported
Field = Literal[
    "host-header", "http-header", "http-request-method", "path-pattern", "query-string", "source-ip"
]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; any of `values` satisfies it. Query strings are `(key or "", value)` pairs."""

    field: str
    values: tuple[str, ...] = ()
    header: str = ""
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """All `conditions` true: `action`. The default rule has none."""

    conditions: tuple[Condition, ...]
    action: Action


@dataclass(frozen=True, slots=True)
class Listener:
    """A port with its rules in the order in which they are tried, the default rule last."""

    arn: str
    port: int
    protocol: str
    idle_seconds: int
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """Every listener, and every target group that one of them forwards to (by ARN)."""

    listeners: tuple[Listener, ...]
    groups: dict[str, TargetGroup]


def returned(before: Edge | None, after: Edge) -> dict[str, set[str]]:
    """Targets (ids by group ARN) that were draining and are registered again, perhaps as a new process."""
    if before is None:
        return {}
    leaving = {
        arn: {target.id for target in group.targets if target.draining}
        for arn, group in before.groups.items()
    }
    found = {
        arn: {target.id for target in group.targets if not target.draining} & leaving.get(arn, set())
        for arn, group in after.groups.items()
    }
    return {arn: ids for arn, ids in found.items() if ids}


def without(edge: Edge, left_out: dict[str, set[str]]) -> Edge:
    """`edge` less some targets (ids by group ARN)."""
    groups = {
        arn: replace(
            group, targets=tuple(one for one in group.targets if one.id not in left_out.get(arn, set()))
        )
        for arn, group in edge.groups.items()
    }
    return replace(edge, groups=groups)
