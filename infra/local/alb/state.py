"""Read load balancers from the ELBv2 API into the typed model (`model.py`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from infra.local.alb.model import (
    Action,
    Condition,
    Edge,
    FixedResponse,
    Forward,
    HealthCheck,
    Listener,
    Redirect,
    Rule,
    Target,
    TargetGroup,
    Unsupported,
)

IDLE_SECONDS: Final = 60
"""What AWS uses when the load balancer does not say."""
DAY_SECONDS: Final = 86_400


def read_edge(elbv2: Any) -> Edge:
    """Everything that the data plane must know; `elbv2` is a boto3 client.

    Raises botocore's errors, also when something disappears between two calls: read again then.
    """
    listeners: list[Listener] = []
    for balancer in _pages(elbv2, "describe_load_balancers", "LoadBalancers"):
        if balancer.get("Type", "application") != "application":
            continue
        arn = balancer["LoadBalancerArn"]
        attributes = _attributes(elbv2.describe_load_balancer_attributes(LoadBalancerArn=arn))
        idle = int(attributes.get("idle_timeout.timeout_seconds") or IDLE_SECONDS)
        for raw in _pages(elbv2, "describe_listeners", "Listeners", LoadBalancerArn=arn):
            rules = elbv2.describe_rules(ListenerArn=raw["ListenerArn"])["Rules"]
            ordered = tuple(
                parse_rule(rule)
                for rule in sorted(rules, key=lambda one: _priority(one["Priority"]))
                if rule["Actions"]
            )
            listeners.append(
                Listener(raw["ListenerArn"], int(raw["Port"]), raw.get("Protocol", "HTTP"), idle, ordered)
            )
    wanted = {arn for listener in listeners for arn in forwarded(listener)}
    groups = {
        raw["TargetGroupArn"]: _group(elbv2, raw)
        for raw in _pages(elbv2, "describe_target_groups", "TargetGroups")
        if raw["TargetGroupArn"] in wanted
    }
    return Edge(tuple(sorted(listeners, key=lambda one: (one.port, one.arn))), groups)


def forwarded(listener: Listener) -> Iterable[str]:
    """ARNs of the target groups that a listener forwards to, at whatever weight."""
    return (
        arn for rule in listener.rules if isinstance(rule.action, Forward) for arn, _ in rule.action.groups
    )


def parse_rule(raw: dict[str, Any]) -> Rule:
    """One rule of `describe_rules`."""
    return Rule(
        tuple(parse_condition(one) for one in raw.get("Conditions", [])), parse_action(raw["Actions"])
    )


def parse_action(raw: list[dict[str, Any]]) -> Action:
    """The action that answers; authentication in front of it cannot be imitated."""
    ordered = sorted(raw, key=lambda one: int(one.get("Order", 1)))
    for action in ordered:
        kind = action["Type"]
        if kind == "forward":
            return _forward(action)
        if kind == "fixed-response":
            fixed = action["FixedResponseConfig"]
            kind_of_body = fixed.get("ContentType") or "text/plain"
            return FixedResponse(int(fixed["StatusCode"]), fixed.get("MessageBody") or "", kind_of_body)
        if kind == "redirect":
            return _redirect(action["RedirectConfig"])
        return Unsupported(kind)
    return Unsupported("no action")


def _forward(action: dict[str, Any]) -> Forward:
    config = action.get("ForwardConfig")
    if not config or not config.get("TargetGroups"):
        return Forward(((action["TargetGroupArn"], 1),), None)
    sticky = config.get("TargetGroupStickinessConfig") or {}
    enabled = str(sticky.get("Enabled", False)).lower() == "true"
    groups = tuple((one["TargetGroupArn"], int(one.get("Weight", 1))) for one in config["TargetGroups"])
    return Forward(groups, int(sticky.get("DurationSeconds") or DAY_SECONDS) if enabled else None)


def _redirect(config: dict[str, Any]) -> Redirect:
    return Redirect(
        301 if config["StatusCode"] == "HTTP_301" else 302,
        config.get("Protocol") or "#{protocol}",
        config.get("Host") or "#{host}",
        str(config.get("Port") or "#{port}"),
        config.get("Path") or "/#{path}",
        config.get("Query", "#{query}"),
    )


def parse_condition(raw: dict[str, Any]) -> Condition:
    """One condition; AWS has an old form (`Values`) and one configuration object per field."""
    field = raw["Field"]
    config: dict[str, Any] = next(
        (value for name, value in raw.items() if name.endswith("Config") and value), {}
    )
    values = config.get("Values") or raw.get("Values") or []
    if field == "query-string":
        return Condition(field, pairs=tuple((pair.get("Key") or "", pair["Value"]) for pair in values))
    return Condition(field, tuple(values), config.get("HttpHeaderName", ""))


def _group(elbv2: Any, raw: dict[str, Any]) -> TargetGroup:
    arn = raw["TargetGroupArn"]
    attributes = _attributes(elbv2.describe_target_group_attributes(TargetGroupArn=arn))
    seen = elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    sticky = (
        attributes.get("stickiness.enabled") == "true" and attributes.get("stickiness.type") == "lb_cookie"
    )
    port = raw.get("HealthCheckPort") or "traffic-port"
    return TargetGroup(
        arn=arn,
        name=raw["TargetGroupName"],
        http2=raw.get("ProtocolVersion") == "HTTP2",
        least_outstanding=attributes.get("load_balancing.algorithm.type") == "least_outstanding_requests",
        sticky_seconds=int(attributes.get("stickiness.lb_cookie.duration_seconds") or DAY_SECONDS)
        if sticky
        else None,
        health=HealthCheck(
            enabled=raw.get("HealthCheckEnabled", True),
            path=raw.get("HealthCheckPath") or "/",
            port=int(port) if port.isdigit() else None,
            interval=float(raw.get("HealthCheckIntervalSeconds") or 30),
            timeout=float(raw.get("HealthCheckTimeoutSeconds") or 5),
            healthy_threshold=int(raw.get("HealthyThresholdCount") or 5),
            unhealthy_threshold=int(raw.get("UnhealthyThresholdCount") or 2),
            matcher=(raw.get("Matcher") or {}).get("HttpCode") or "200",
        ),
        targets=tuple(
            Target(
                one["Target"]["Id"],
                int(one["Target"].get("Port") or raw["Port"]),
                one["TargetHealth"]["State"] == "draining",
            )
            for one in sorted(seen, key=lambda one: str(one["Target"]["Id"]))
        ),
    )


def _attributes(answer: dict[str, Any]) -> dict[str, str]:
    return {one["Key"]: str(one["Value"]) for one in answer["Attributes"]}


def _priority(value: str) -> int:
    return 1_000_000 if value == "default" else int(value)


def _pages(elbv2: Any, action: str, name: str, **arguments: Any) -> Iterable[dict[str, Any]]:
    for page in elbv2.get_paginator(action).paginate(**arguments):
        yield from page[name]
