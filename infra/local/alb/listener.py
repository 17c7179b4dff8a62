"""An Envoy listener as an ALB would behave: headers, statuses of failures, what is logged. Pure."""

from __future__ import annotations

from typing import Any, Final

from infra.local.alb.routes import STATEFUL_SESSION, TYPE, route_name

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


def envoy_listener(port: int, routes: dict[str, Any]) -> dict[str, Any]:
    """A port on loopback, whose rules come from the config source `routes`.

    It does not depend on weights or targets: changing a listener drops its connections.
    """
    return {
        "@type": f"{TYPE}.config.listener.v3.Listener",
        "name": route_name(port),
        "address": address("127.0.0.1", port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": _connection_manager(port, routes)}]}],
    }


def address(host: str, port: int) -> dict[str, Any]:
    """A socket address in Envoy's words."""
    return {"socket_address": {"address": host, "port_value": port}}


def _connection_manager(port: int, routes: dict[str, Any]) -> dict[str, Any]:
    filters = f"{TYPE}.extensions.filters.http"
    return {
        "@type": f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": route_name(port),
        "rds": {
            "route_config_name": route_name(port),
            "config_source": routes,
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
