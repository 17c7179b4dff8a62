"""The typed model as Envoy resources: listeners, clusters, endpoints. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from infra.local.alb.listener import address, envoy_listener
from infra.local.alb.model import Edge, HealthCheck, TargetGroup
from infra.local.alb.passed_over import reachable
from infra.local.alb.routes import NO_TARGETS, TYPE, route_configuration

MOST: Final = 1_000_000
CLUSTERS_FILE: Final = "cds.json"
LISTENERS_FILE: Final = "lds.json"
UPSTREAM_IDLE: Final = "4s"
"""Shorter than any server's keep-alive (uvicorn: 5 s), so that no request meets a closing connection."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`folder` of the files (absolute); `check_seconds` bounds the time between two health checks: AWS allows
    5 s at least, here sooner is better."""

    folder: str
    check_seconds: float


@dataclass(frozen=True, slots=True)
class Resources:
    """Files by name, in the order in which they have to be written."""

    endpoints: dict[str, str]
    clusters: str
    routes: dict[str, str]
    listeners: str


def resources(edge: Edge, previous: Edge | None, settings: Settings) -> Resources:
    """Everything that Envoy has to know for `edge`.

    `previous`' target groups stay defined although nothing forwards to them any more: routes that Envoy has
    not replaced yet may still point there.
    """
    groups = {**(previous.groups if previous else {}), **edge.groups}
    ordered = sorted(groups.values(), key=lambda group: group.name)
    open_here = {one.port: one for one in edge.listeners if one.protocol == "HTTP"}
    return Resources(
        endpoints={endpoints_file(group.name): document([endpoints(group)]) for group in ordered},
        clusters=document([cluster(group, settings) for group in ordered]),
        routes={
            routes_file(port): document([route_configuration(one, edge)]) for port, one in open_here.items()
        },
        listeners=document(
            [envoy_listener(port, file_source(settings, routes_file(port))) for port in sorted(open_here)]
        ),
    )


def document(found: list[dict[str, Any]]) -> str:
    """A discovery response; its version is its content, so equal content is no change."""
    version = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]
    return json.dumps({"version_info": version, "resources": found}, indent=1, sort_keys=True)


def endpoints_file(group: str) -> str:
    return f"eds-{group}.json"


def routes_file(port: int) -> str:
    return f"rds-{port}.json"


def cluster(group: TargetGroup, settings: Settings) -> dict[str, Any]:
    """One target group. Without health checks AWS calls its targets `unavailable` and sends them traffic."""
    options: dict[str, Any] = {"common_http_protocol_options": {"idle_timeout": UPSTREAM_IDLE}}
    options["explicit_http_config"] = {
        "http2_protocol_options" if group.http2 else "http_protocol_options": {}
    }
    found: dict[str, Any] = {
        "@type": f"{TYPE}.config.cluster.v3.Cluster",
        "name": group.name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": file_source(settings, endpoints_file(group.name))},
        "connect_timeout": "2s",
        "lb_policy": "LEAST_REQUEST" if group.least_outstanding else "ROUND_ROBIN",
        "common_lb_config": {
            # An ALB with no healthy target in a group sends to all of them ("fail open"); 1 % of a group that
            # fits here is less than one target.
            "healthy_panic_threshold": {"value": 1.0},
            # Envoy gathers health changes for a second by default: reported, but not yet acted upon.
            "update_merge_window": "0s",
        },
        "ignore_health_on_host_removal": True,
        "circuit_breakers": {"thresholds": [_no_limits()]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions",
                **options,
            }
        },
    }
    if group.health.enabled:
        found["health_checks"] = [_health_check(group.health, settings.check_seconds, group.http2)]
    return found


def endpoints(group: TargetGroup) -> dict[str, Any]:
    """The targets of one group; draining ones finish what they have and get nothing new."""
    return {
        "@type": f"{TYPE}.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": group.name,
        "endpoints": [
            {
                "lb_endpoints": [
                    {
                        "health_status": "DRAINING" if target.draining else "HEALTHY",
                        "endpoint": {
                            "address": address(target.id, target.port),
                            "health_check_config": {
                                "hostname": f"{target.id}:{target.port}",
                                **({"port_value": group.health.port} if group.health.port else {}),
                            },
                        },
                    }
                    for target in group.targets
                    if reachable(target)  # Envoy would refuse the whole group for one bad address
                ]
            }
        ],
    }


def file_source(settings: Settings, name: str) -> dict[str, Any]:
    """Where Envoy reads one kind of resource. It notices a rename over the file."""
    return {"resource_api_version": "V3", "path_config_source": {"path": f"{settings.folder}/{name}"}}


def status_ranges(matcher: str) -> list[dict[str, int]]:
    """`200-299,301` as half-open ranges."""
    found = []
    for part in matcher.split(","):
        first, _, last = part.strip().partition("-")
        found.append({"start": int(first), "end": int(last or first) + 1})
    return found


def _health_check(check: HealthCheck, check_seconds: float, http2: bool) -> dict[str, Any]:
    interval = _seconds(min(check.interval, check_seconds))
    return {
        "interval": interval,
        "no_traffic_interval": interval,
        "timeout": _seconds(check.timeout),
        "healthy_threshold": check.healthy_threshold,
        "unhealthy_threshold": check.unhealthy_threshold,
        "http_health_check": {
            "path": check.path,
            "expected_statuses": status_ranges(check.matcher),
            # Without this one wrong status is enough for Envoy; AWS counts up to the threshold.
            "retriable_statuses": [{"start": 100, "end": 600}],
            "codec_client_type": "HTTP2" if http2 else "HTTP1",
            "request_headers_to_add": [
                {
                    "header": {"key": "user-agent", "value": "ELB-HealthChecker/2.0"},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            ],
        },
    }


def _no_limits() -> dict[str, int]:
    return {
        "max_connections": MOST,
        "max_pending_requests": MOST,
        "max_requests": MOST,
        "max_retries": MOST,
    }


def _seconds(value: float) -> str:
    return f"{value:g}s"


def bootstrap(settings: Settings, admin_port: int) -> dict[str, Any]:
    """What Envoy is started with; the rest comes from the files it watches."""
    return {
        "node": {"id": "alb", "cluster": "alb"},
        "admin": {"address": address("127.0.0.1", admin_port)},
        "dynamic_resources": {
            "lds_config": file_source(settings, LISTENERS_FILE),
            "cds_config": file_source(settings, CLUSTERS_FILE),
        },
        "static_resources": {"clusters": [{"name": NO_TARGETS, "type": "STATIC", "connect_timeout": "1s"}]},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{TYPE}.extensions.resource_monitors.downstream_connections.v3."
                        "DownstreamConnectionsConfig",
                        "max_active_downstream_connections": 50_000,
                    },
                }
            ]
        },
    }
