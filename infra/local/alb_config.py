"""The typed model as Envoy resources: listeners, clusters, endpoints. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from infra.local.alb_model import Edge, HealthCheck, TargetGroup
from infra.local.alb_routes import NO_TARGETS, STATEFUL_SESSION, route_configuration, route_name

TYPE: Final = "type.googleapis.com/envoy"
MOST: Final = 1_000_000
CLUSTERS_FILE: Final = "cds.json"
LISTENERS_FILE: Final = "lds.json"
UPSTREAM_IDLE: Final = "4s"
"""Shorter than any server's keep-alive (uvicorn: 5 s), so that no request meets a closing connection."""
TRACE_ID: Final = """
math.randomseed(os.time() + (tonumber(string.match(tostring({}), "0x(%x+)"), 16) or 0) % 2147483647)
local function fresh()
  return string.format("1-%08x-%08x%08x%08x", os.time(), math.random(0, 2147483647),
    math.random(0, 2147483647), math.random(0, 2147483647))
end
function envoy_on_request(handle)
  local headers = handle:headers()
  local given = headers:get("x-amzn-trace-id")
  if given == nil or given == "" then
    headers:replace("x-amzn-trace-id", "Root=" .. fresh())
  else
    headers:replace("x-amzn-trace-id", "Self=" .. fresh() .. ";" .. given)
  end
end
"""


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
        listeners=document([envoy_listener(port, settings) for port in sorted(open_here)]),
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
                            "address": _address(target.id, target.port),
                            "health_check_config": {
                                "hostname": f"{target.id}:{target.port}",
                                **({"port_value": group.health.port} if group.health.port else {}),
                            },
                        },
                    }
                    for target in group.targets
                ]
            }
        ],
    }


def envoy_listener(port: int, settings: Settings) -> dict[str, Any]:
    """A port on loopback. It does not depend on weights or targets: a changed listener drops connections."""
    return {
        "@type": f"{TYPE}.config.listener.v3.Listener",
        "name": route_name(port),
        "address": _address("127.0.0.1", port),
        "filter_chains": [
            {"filters": [{"name": "http", "typed_config": _connection_manager(port, settings)}]}
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


def _connection_manager(port: int, settings: Settings) -> dict[str, Any]:
    filters = f"{TYPE}.extensions.filters.http"
    return {
        "@type": f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": route_name(port),
        "rds": {
            "route_config_name": route_name(port),
            "config_source": file_source(settings, routes_file(port)),
        },
        "use_remote_address": True,
        "skip_xff_append": True,  # the routes do it
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        "stream_idle_timeout": "0s",  # each route has the load balancer's own
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "local_reply_config": {"mappers": [_mapper(["UF", "UC", "UPE"], 502), _mapper(["SI"], 504)]},
        "access_log": [_failures_only()],
        "http_filters": [
            {
                "name": "trace-id",
                "typed_config": {
                    "@type": f"{filters}.lua.v3.Lua",
                    "default_source_code": {"inline_string": TRACE_ID},
                },
            },
            {
                "name": STATEFUL_SESSION,
                "typed_config": {"@type": f"{filters}.stateful_session.v3.StatefulSession"},
            },
            {
                "name": "router",
                "typed_config": {"@type": f"{filters}.router.v3.Router", "suppress_envoy_headers": True},
            },
        ],
    }


def _mapper(flags: list[str], status: int) -> dict[str, Any]:
    """Failures with the status of an ALB: the target closed the connection 502, idle too long 504."""
    return {"filter": {"response_flag_filter": {"flags": flags}}, "status_code": status}


def _failures_only() -> dict[str, Any]:
    fields = {
        "time": "%START_TIME%",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ)%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "cluster": "%UPSTREAM_CLUSTER%",
        "target": "%UPSTREAM_HOST%",
        "listener": "%DOWNSTREAM_LOCAL_PORT%",
    }
    comparison = {"op": "GE", "value": {"default_value": 500, "runtime_key": "access_log.failures"}}
    return {
        "name": "failures",
        "filter": {"status_code_filter": {"comparison": comparison}},
        "typed_config": {
            "@type": f"{TYPE}.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"json_format": fields},
        },
    }


def _no_limits() -> dict[str, int]:
    return {
        "max_connections": MOST,
        "max_pending_requests": MOST,
        "max_requests": MOST,
        "max_retries": MOST,
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _seconds(value: float) -> str:
    return f"{value:g}s"


def bootstrap(settings: Settings, admin_port: int) -> dict[str, Any]:
    """What Envoy is started with; the rest comes from the files it watches."""
    return {
        "node": {"id": "alb", "cluster": "alb"},
        "admin": {"address": _address("127.0.0.1", admin_port)},
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
