"""Listener rules as Envoy routes: weights, cookies, fixed answers, redirects. Pure.

Group stickiness, as an ALB does it: the first answer carries the cookie AWSALBTG, and a client that sends it
stays with its group while the cookie lives, also when the group's weight has become 0, and gets 503 when the
group has no target left. Changing weights moves the others only.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from infra.local.alb.match import cookie_match, route_match
from infra.local.alb.model import (
    Action,
    Edge,
    FixedResponse,
    Forward,
    Listener,
    Redirect,
    Rule,
    TargetGroup,
    Unsupported,
)

TYPE: Final = "type.googleapis.com/envoy"
GROUP_COOKIE: Final = "AWSALBTG"
TARGET_COOKIE: Final = "AWSALB"
NO_TARGETS: Final = "no-targets"
"""A cluster without hosts; what is sent there gets 503."""
STATEFUL_SESSION: Final = "envoy.filters.http.stateful_session"
# Tried on another target only when this one refused the connection or closed it before anything was sent. An
# ALB answers 502 then; nobody is served by imitating that, and no request can be carried out twice.
RETRY: Final = {
    "retry_on": "connect-failure,reset-before-request",
    "num_retries": 2,
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": f"{TYPE}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
            },
        }
    ],
    "host_selection_retry_max_attempts": 4,
    "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.050s"},
}
ENVOY_HEADERS: Final = [
    "x-envoy-internal",
    "x-envoy-external-address",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-attempt-count",
]


def route_configuration(listener: Listener, edge: Edge) -> dict[str, Any]:
    """The RDS resource of one listener."""
    routes = [route for rule in listener.rules for route in _routes(rule, listener, edge)]
    return {
        "@type": f"{TYPE}.config.route.v3.RouteConfiguration",
        "name": route_name(listener.port),
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
        "request_headers_to_add": [
            _header("x-forwarded-port", str(listener.port)),
            # By itself Envoy writes this machine's outer address in the place of a loopback client.
            {
                "header": {
                    "key": "x-forwarded-for",
                    "value": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
                },
                "append_action": "APPEND_IF_EXISTS_OR_ADD",
            },
        ],
        "request_headers_to_remove": ENVOY_HEADERS,
    }


def route_name(port: int) -> str:
    return f"listener_{port}"


def group_cookie(arn: str) -> str:
    """The cookie value that stands for a target group; opaque, as AWS's is."""
    return hashlib.sha256(arn.encode()).hexdigest()[:32]


def _routes(rule: Rule, listener: Listener, edge: Edge) -> list[dict[str, Any]]:
    match = route_match(rule.conditions)
    if match is None:
        return []
    action = rule.action
    if not isinstance(action, Forward):
        return [{"match": match, **_answer(action)}]
    weighted = {"match": match, "route": _weighted(action, listener, edge)}
    if action.sticky_seconds is None:
        return [weighted]
    pinned = [
        {
            "match": {
                **match,
                "headers": [*match.get("headers", []), cookie_match(GROUP_COOKIE, group_cookie(arn))],
            },
            "route": _weighted(Forward(((arn, 1),), action.sticky_seconds), listener, edge),
        }
        for arn, _ in action.groups
    ]
    return [*pinned, weighted]


def _weighted(action: Forward, listener: Listener, edge: Edge) -> dict[str, Any]:
    common = {"timeout": "0s", "idle_timeout": f"{listener.idle_seconds}s", "retry_policy": RETRY}
    groups = [(edge.groups.get(arn), arn, weight) for arn, weight in action.groups]
    if not any(weight for _, _, weight in groups):
        return {"cluster": NO_TARGETS, **common}
    clusters = [_cluster_weight(group, arn, weight, action.sticky_seconds) for group, arn, weight in groups]
    return {"weighted_clusters": {"clusters": clusters}, **common}


def _cluster_weight(group: TargetGroup | None, arn: str, weight: int, sticky: int | None) -> dict[str, Any]:
    # A group whose targets are all deregistered answers 503. Without this, Envoy's fail-open (all unhealthy:
    # all get traffic) would find the draining ones.
    usable = group is not None and any(not target.draining for target in group.targets)
    found: dict[str, Any] = {"name": group.name if group and usable else NO_TARGETS, "weight": weight}
    if sticky is not None:
        cookie = f"{GROUP_COOKIE}={group_cookie(arn)}; Max-Age={sticky}; Path=/"
        found["response_headers_to_add"] = [_header("set-cookie", cookie, "APPEND_IF_EXISTS_OR_ADD")]
    if group and group.sticky_seconds is not None:
        found["typed_per_filter_config"] = {STATEFUL_SESSION: _target_cookie(group.sticky_seconds)}
    return found


def _target_cookie(seconds: int) -> dict[str, Any]:
    base = f"{TYPE}.extensions"
    return {
        "@type": f"{base}.filters.http.stateful_session.v3.StatefulSessionPerRoute",
        "stateful_session": {
            "session_state": {
                "name": "envoy.http.stateful_session.cookie",
                "typed_config": {
                    "@type": f"{base}.http.stateful_session.cookie.v3.CookieBasedSessionState",
                    "cookie": {"name": TARGET_COOKIE, "path": "/", "ttl": f"{seconds}s"},
                },
            }
        },
    }


def _answer(action: Action) -> dict[str, Any]:
    if isinstance(action, FixedResponse):
        return {
            "direct_response": {"status": action.status, "body": {"inline_string": action.body}},
            "response_headers_to_add": [_header("content-type", action.content_type)],
        }
    if isinstance(action, Redirect):
        return _redirect(action)
    what = action.what if isinstance(action, Unsupported) else type(action).__name__
    return _refused(f"The local load balancer cannot imitate {what}.")


def _refused(why: str) -> dict[str, Any]:
    return {"direct_response": {"status": 500, "body": {"inline_string": why}}}


def _redirect(action: Redirect) -> dict[str, Any]:
    found: dict[str, Any] = {"response_code": "MOVED_PERMANENTLY" if action.status == 301 else "FOUND"}
    if action.protocol != "#{protocol}":
        found["scheme_redirect"] = action.protocol.lower()
    if action.host != "#{host}":
        found["host_redirect"] = action.host
    if action.port != "#{port}":
        found["port_redirect"] = int(action.port)
    if action.path != "/#{path}":
        found["regex_rewrite"] = {
            "pattern": {"regex": "^/(.*)$"},
            "substitution": action.path.replace("\\", "\\\\").replace("#{path}", "\\1"),
        }
    if action.query == "":
        found["strip_query"] = True
    elif action.query != "#{query}":
        return _refused("The local load balancer cannot rewrite the query of a redirect.")
    if re.search(r"#\{", found.get("host_redirect", "") + action.path.replace("#{path}", "")):
        return _refused("The local load balancer knows #{path} in a path and #{host} alone in a host.")
    return {"redirect": found}


def _header(name: str, value: str, how: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> dict[str, Any]:
    # Envoy reads % as the start of a placeholder.
    return {"header": {"key": name, "value": value.replace("%", "%%")}, "append_action": how}
