"""The page of the on-call engineer: five rows, from "is it well" down to the machines."""

from __future__ import annotations

from alerts.model import USERS
from dashboards.frame import Board, Row
from dashboards.panels import (
    AMBER,
    BREAKER,
    RED,
    UP_DOWN,
    Query,
    bars,
    density,
    lines,
    number,
    states,
)
from dashboards.queries import (
    REQUESTS,
    SERVICE,
    error_ratio,
    rate,
    service,
    share,
    tool,
    total,
)
from dashboards.shapes import flow, score, speed, speeds


def production() -> Board:
    """Overview, performance, providers, debates, infrastructure."""
    return Board(
        "superagent-production",
        "SuperAgent / Production",
        "Is the service well, and if not, what is it: speed, providers, debates or machines?",
        (_overview(), _performance(), _providers(), _debates(), _infrastructure()),
    )


def _overview() -> Row:
    return Row(
        "Overview",
        (
            number(
                "Requests",
                [Query(total(rate(REQUESTS)))],
                "Answered requests a second, all paths and statuses.",
                unit="reqps",
                runbook="SuperAgentThroughputLow",
            ),
            number(
                "Error ratio",
                [Query(error_ratio())],
                "Share of requests answered with a 5xx status.",
                unit="percentunit",
                steps=[(0.05, AMBER), (0.1, RED)],
                runbook="SuperAgentErrorRatioHigh",
            ),
            number(
                "In flight",
                [Query(total(service("http_requests_in_flight")))],
                "Requests being answered now, open streams included.",
            ),
            number(
                "Uptime",
                [Query(f'min(time() - process_start_time_seconds{{job="superagent",{SERVICE}}})')],
                "Age of the youngest process: it falls when one restarts.",
                unit="dtdurations",
                runbook="SuperAgentConfigurationChanged",
                graph=False,
            ),
        ),
    )


def _performance() -> Row:
    duration = "http_request_duration_seconds"
    return Row(
        "Performance",
        (
            speeds(
                "Latency",
                duration,
                (0.5, 0.95, 0.99),
                "Request received to last byte sent; streams count whole.",
                only=(USERS,),
                steps=[(5, AMBER), (10, RED)],
                runbook="SuperAgentLatencyHigh",
            ),
            density(
                "Duration",
                total(f"increase({service(f'{duration}_bucket', USERS)}[$__rate_interval])", "le"),
                "How many requests took how long: two humps are two kinds of request.",
            ),
            flow("Requests by endpoint", REQUESTS, ("path",), "By route template.", unit="reqps"),
            flow(
                "Requests by status",
                REQUESTS,
                ("status",),
                "429 is a limit doing its work, 5xx is ours.",
                unit="reqps",
                runbook="SuperAgentErrorRatioElevated",
            ),
        ),
    )


def _providers() -> Row:
    failed = service("provider_requests_total", 'status!="ok"')
    whole = total(rate(service("provider_requests_total")), "provider")
    return Row(
        "Providers",
        (
            number(
                "Provider health",
                [Query(f"min by (provider) ({service('provider_health_status')})", "{{provider}}")],
                "The worst that any process says of each provider.",
                unit="none",
                names=UP_DOWN,
                span=24,
                runbook="SuperAgentProviderDown",
            ),
            speed(
                "Provider latency (p95)",
                "provider_latency_seconds",
                "provider",
                "Call sent to last byte.",
                span=8,
            ),
            lines(
                "Provider error ratio",
                [Query(share(total(rate(failed), "provider"), whole), "{{provider}}")],
                "Calls that did not end well, whatever the client saw after fallbacks.",
                unit="percentunit",
                span=8,
                runbook="SuperAgentProviderDown",
            ),
            states(
                "Circuit breakers",
                [
                    Query(
                        f"max by (provider) ({service('provider_circuit_breaker_state')} == 1)"
                        f" or max by (provider) ({service('provider_circuit_breaker_state')})",
                        "{{provider}}",
                    )
                ],
                "Open when it is in at least one process.",
                BREAKER,
                span=8,
                runbook="SuperAgentBreakerOpen",
            ),
        ),
    )


def _debates() -> Row:
    return Row(
        "Debates",
        (
            number(
                "Active debates",
                [Query(total(service("debates_active")))],
                "Debates running now.",
                span=4,
                height=8,
            ),
            flow(
                "Debates by outcome",
                service("debates_total"),
                ("status",),
                "Finished debates a second.",
                silent=True,
                span=5,
            ),
            speeds(
                "Debate duration", "debate_duration_seconds", (0.5, 0.95), "Start to final answer.", span=5
            ),
            score(
                "Debate quality",
                "debate_quality_score",
                "mean quality",
                "Mean quality of final answers, 0 to 1.",
                span=5,
            ),
            score(
                "Debate consensus",
                "debate_consensus_level",
                "mean consensus",
                "Mean agreement of the debaters, 0 to 1.",
                span=5,
            ),
        ),
    )


def _infrastructure() -> Row:
    resident = f'process_resident_memory_bytes{{job="superagent",{SERVICE}}}'
    idle = tool("node_cpu_seconds_total", 'mode="idle"')
    free = f"{tool('node_memory_MemAvailable_bytes')} / {tool('node_memory_MemTotal_bytes')}"
    return Row(
        "Infrastructure",
        (
            lines(
                "CPU",
                [Query(f"avg by (instance) (1 - {rate(idle)})", "{{instance}}")],
                "Share of CPU time used.",
                unit="percentunit",
                steps=[(0.8, RED)],
                top=1,
                span=6,
                runbook="SuperAgentCpuHigh",
            ),
            lines(
                "Memory",
                [Query(f"1 - {free}", "{{instance}}")],
                "Share of memory used.",
                unit="percentunit",
                steps=[(0.85, RED)],
                top=1,
                span=6,
                runbook="SuperAgentMemoryHigh",
            ),
            lines(
                "Database connections",
                [
                    Query(f"sum by (state) ({tool('pg_stat_activity_count')}) > 0", "{{state}}"),
                    Query(f"min({tool('pg_settings_max_connections')})", "limit"),
                ],
                "By state, and the server's limit.",
                span=6,
                runbook="SuperAgentPostgresConnectionsHigh",
            ),
            lines(
                "Redis memory",
                [
                    Query(f"sum({tool('redis_memory_used_bytes')})", "used"),
                    Query(f"sum({tool('redis_memory_max_bytes')})", "limit (0: none)"),
                ],
                "Used, and maxmemory.",
                unit="bytes",
                span=6,
                runbook="SuperAgentRedisMemoryHigh",
            ),
            number(
                "Dependencies",
                [Query(f"min by (dependency) ({service('dependency_up')})", "{{dependency}}")],
                "As the service processes see them; the worst of all.",
                unit="none",
                names=UP_DOWN,
                runbook="SuperAgentDatabaseConnectionFailures",
                span=12,
                height=6,
            ),
            bars(
                "Memory of service processes",
                [Query(resident, "{{colour}} {{instance}}")],
                "Resident memory of each process.",
                unit="bytes",
                height=6,
                runbook="SuperAgentMemoryHigh",
            ),
            bars(
                "Spans of traces",
                [Query(f"sum by (outcome) (rate({service('trace_spans_total')}[5m]))", "{{outcome}}")],
                "Sent to the receiver, rejected by it, or dropped because it was slow or gone.",
                unit="ops",
                height=6,
            ),
        ),
    )
