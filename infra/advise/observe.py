"""One table of queries, and what their answers mean. Names and labels: service/telemetry/metrics.py."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from infra.advise.observed import Agent, Cache, Endpoint, Instance, Observed, Provider, times
from infra.advise.settings import Thresholds
from infra.advise.statistics import Interval, trend

Row = dict[str, Any]
USERS: Final = 'path!~"/health.*|unmatched|preflight"'
SERVICE: Final = 'colour!=""'
MEMORY_POINTS: Final = 30


class Store(Protocol):
    """Prometheus or AMP (`infra/release/source_prometheus.py`)."""

    def query(self, expression: str, at: float) -> list[Row]: ...


# name -> expression; ENV is the environment's matcher, WIN the stretch, PIECE a short stretch within it.
QUERIES: Final[dict[str, str]] = {
    "oldest": "min(min_over_time(timestamp(superagent_build_info{ENV})[WIN:PIECE]))",
    "requests": "sum by (method, path, status) "
    f"(increase(superagent_http_requests_total{{ENV,{USERS}}}[WIN]))",
    "duration": "sum by (method, path, le) "
    f"(increase(superagent_http_request_duration_seconds_bucket{{ENV,{USERS}}}[WIN]))",
    "duration_sum": "sum by (method, path) "
    f"(increase(superagent_http_request_duration_seconds_sum{{ENV,{USERS}}}[WIN]))",
    "calls": "sum by (provider, status) (increase(superagent_provider_requests_total{ENV}[WIN]))",
    "latency": "sum by (provider, le) (increase(superagent_provider_latency_seconds_bucket{ENV}[WIN]))",
    "latency_sum": "sum by (provider) (increase(superagent_provider_latency_seconds_sum{ENV}[WIN]))",
    "cost": "sum by (provider) (increase(superagent_provider_cost_usd_total{ENV}[WIN]))",
    "breaker": "max by (provider) "
    "(avg_over_time((superagent_provider_circuit_breaker_state{ENV} == bool 1)[WIN:PIECE]))",
    "agents": "sum by (agent, outcome) (increase(superagent_agent_requests_total{ENV}[WIN]))",
    "agent_sum": "sum by (agent) (increase(superagent_agent_duration_seconds_sum{ENV}[WIN]))",
    "cpu": f"max by (instance, colour) (rate(process_cpu_seconds_total{{ENV,{SERVICE}}}[WIN]))",
    "busy": "max by (instance, colour) "
    f"(quantile_over_time(0.9, rate(process_cpu_seconds_total{{ENV,{SERVICE}}}[PIECE])[WIN:PIECE]))",
    "memory": "max by (instance, colour) "
    f"(max_over_time(process_resident_memory_bytes{{ENV,{SERVICE}}}[WIN]))",
    "in_flight": "max by (instance, colour) "
    "(quantile_over_time(0.95, superagent_http_requests_in_flight{ENV}[WIN]))",
    "in_flight_most": "max by (instance, colour) "
    "(max_over_time(superagent_http_requests_in_flight{ENV}[WIN]))",
    "debates": "max by (instance, colour) (max_over_time(superagent_debates_active{ENV}[WIN]))",
    "machine": '1 - avg(rate(node_cpu_seconds_total{ENV,mode="idle"}[WIN]))',
    "memory_free": "min(min_over_time("
    "(node_memory_MemAvailable_bytes{ENV} / node_memory_MemTotal_bytes{ENV})[WIN:PIECE]))",
    "hits": "sum by (cache) (increase(superagent_cache_hits_total{ENV}[WIN]))",
    "misses": "sum by (cache) (increase(superagent_cache_misses_total{ENV}[WIN]))",
    "saved": "sum(increase(superagent_cache_saved_usd_total{ENV}[WIN]))",
    "evicted": "sum(increase(redis_evicted_keys_total{ENV}[WIN]))",
    "away": "max by (dependency) (1 - avg_over_time(superagent_dependency_up{ENV}[WIN]))",
    "fallbacks": "sum by (from, to) (increase(superagent_provider_fallbacks_total{ENV}[WIN]))",
    "limited": "sum by (scope) (increase(superagent_rate_limited_total{ENV}[WIN]))",
    "journal": "max(max_over_time(superagent_usage_journal_pending{ENV}[WIN]))",
}
GROWTH: Final = f"max by (instance) (process_resident_memory_bytes{{ENV,{SERVICE}}})[WIN:STEP]"


def expression(template: str, environment: str, seconds: float, piece: float) -> str:
    """A query of the table for one environment and stretch."""
    filled = template.replace("WIN", f"{seconds:.0f}s").replace("PIECE", f"{piece:.0f}s")
    filled = filled.replace("STEP", f"{max(15.0, seconds / MEMORY_POINTS):.0f}s")
    return filled.replace("ENV", f'environment="{environment}"')


def observe(store: Store, environment: str, since: float, until: float, piece: float) -> Observed:
    """Everything the metrics tell of a stretch (epoch seconds). Raises what the store raises."""

    def ask(template: str) -> list[Row]:
        return store.query(expression(template, environment, until - since, piece), until)

    rows = {name: ask(template) for name, template in QUERIES.items()}
    long_enough = until - since >= Thresholds().growth_window
    growth = {one["metric"].get("instance", ""): _slope(one) for one in ask(GROWTH)} if long_enough else {}
    return Observed(
        environment=environment,
        since=since,
        until=until,
        data_since=_one(rows["oldest"]),
        endpoints=_endpoints(rows),
        providers=_providers(rows),
        agents=_agents(rows),
        instances=_instances(rows, growth),
        caches=_caches(rows),
        saved_usd=_one(rows["saved"]) or 0.0,
        machine_busy=_one(rows["machine"]),
        memory_free=_one(rows["memory_free"]),
        evicted=_one(rows["evicted"]) or 0.0,
        away=_by(rows["away"], "dependency"),
        fallbacks={f"{one['metric'].get('from', '')} → {one['metric'].get('to', '')}": value(one)
                   for one in rows["fallbacks"] if value(one) > 0},
        limited={scope: count for scope, count in _by(rows["limited"], "scope").items() if count > 0},
        journal_pending=_one(rows["journal"]) or 0.0,
    )  # fmt: skip


def value(row: Row) -> float:
    """The number of an instant vector's row; 0 for NaN."""
    found = float(row["value"][1])
    return 0.0 if math.isnan(found) else found


def edges(rows: list[Row]) -> dict[float, float]:
    """A cumulative histogram from rows with the label `le`."""
    return {float(row["metric"]["le"].replace("+Inf", "inf")): value(row) for row in rows}


def _one(rows: list[Row]) -> float | None:
    found = float(rows[0]["value"][1]) if rows else math.nan
    return None if math.isnan(found) else found


def _by(rows: list[Row], label: str) -> dict[str, float]:
    return {row["metric"].get(label, ""): value(row) for row in rows}


def _grouped(rows: list[Row], *labels: str) -> Mapping[tuple[str, ...], list[Row]]:
    found: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(row["metric"].get(label, "") for label in labels)].append(row)
    return found


def _endpoints(rows: dict[str, list[Row]]) -> tuple[Endpoint, ...]:
    buckets = _grouped(rows["duration"], "method", "path")
    seconds = _grouped(rows["duration_sum"], "method", "path")
    made = []
    for (method, path), found in _grouped(rows["requests"], "method", "path").items():
        statuses = {status: count for status, count in _by(found, "status").items() if count > 0}
        if not statuses:
            continue
        total = sum(value(row) for row in seconds.get((method, path), []))
        made.append(
            Endpoint(method, path, times(edges(buckets.get((method, path), [])), total), total, statuses)
        )
    return tuple(sorted(made, key=lambda one: -one.requests))


def _providers(rows: dict[str, list[Row]]) -> tuple[Provider, ...]:
    buckets = _grouped(rows["latency"], "provider")
    seconds, cost = _by(rows["latency_sum"], "provider"), _by(rows["cost"], "provider")
    breakers = _by(rows["breaker"], "provider")
    calls = _grouped(rows["calls"], "provider")
    called = {name for (name,), found in calls.items() if sum(value(row) for row in found) > 0}
    names = sorted(called | {name for name, share in breakers.items() if share > 0})
    return tuple(
        Provider(
            name,
            {status: count for status, count in _by(calls.get((name,), []), "status").items() if count > 0},
            edges(buckets.get((name,), [])),
            seconds.get(name, 0.0),
            cost.get(name, 0.0),
            breakers.get(name, 0.0),
        )
        for name in names
    )


def _agents(rows: dict[str, list[Row]]) -> tuple[Agent, ...]:
    seconds = _by(rows["agent_sum"], "agent")
    return tuple(
        Agent(name, _by(found, "outcome"), seconds.get(name, 0.0))
        for (name,), found in sorted(_grouped(rows["agents"], "agent").items())
    )


def _instances(rows: dict[str, list[Row]], growth: Mapping[str, Interval | None]) -> tuple[Instance, ...]:
    def by(name: str) -> dict[str, float]:
        return _by(rows[name], "instance")

    columns: dict[str, dict[str, float]] = {
        name: by(name) for name in ("cpu", "busy", "memory", "in_flight", "in_flight_most", "debates")
    }
    colours = {row["metric"].get("instance", ""): row["metric"].get("colour", "") for row in rows["memory"]}
    return tuple(
        Instance(
            name, colours[name], growth=growth.get(name),
            **{column: found.get(name, 0.0) for column, found in columns.items()},
        )
        for name in sorted(colours)
    )  # fmt: skip


def _caches(rows: dict[str, list[Row]]) -> dict[str, Cache]:
    hits, misses = _by(rows["hits"], "cache"), _by(rows["misses"], "cache")
    return {name: Cache(hits.get(name, 0.0), misses.get(name, 0.0)) for name in sorted({*hits, *misses})}


def _slope(row: Row) -> Interval | None:
    points: Callable[[Any], tuple[float, float]] = lambda pair: (float(pair[0]), float(pair[1]))  # noqa: E731
    return trend([points(pair) for pair in row.get("values", [])])
