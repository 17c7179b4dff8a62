"""Needs a person in office hours: quality is bad or redundancy is gone."""

from __future__ import annotations

from typing import Final

from alerts.model import Alert

ALERTS: Final = (
    Alert(
        "SuperAgentErrorRatioHigh",
        "environment:superagent_http_errors:ratio_rate5m > 0.1",
        "5m",
        "{{ $labels.environment }}: more than 10 % of requests fail",
        "{{ $value | humanizePercentage }} of requests were answered with a 5xx status over 5 minutes.",
    ),
    Alert(
        "SuperAgentLatencyHigh",
        "environment:superagent_http_request_duration_seconds:p95_5m > 10",
        "10m",
        "{{ $labels.environment }}: p95 latency is above 10 s",
        "One request in twenty takes longer than {{ $value | humanizeDuration }}.",
    ),
    # `max`: a provider is down when no process gets through; one process's breaker is a warning.
    Alert(
        "SuperAgentProviderDown",
        "max by (environment, provider) (superagent_provider_health_status) == 0",
        "5m",
        "{{ $labels.environment }}: provider {{ $labels.provider }} is down",
        "Every process sees {{ $labels.provider }} as unhealthy; its models fall back to others.",
        dashboard="superagent-llm",
    ),
    # By instance: a replica that is well must not hide a primary that is gone.
    Alert(
        "SuperAgentPostgresDown",
        "max by (environment, instance) (pg_up) == 0",
        "2m",
        "{{ $labels.environment }}: postgres_exporter cannot log in to Postgres",
        "The exporter {{ $labels.instance }} runs, but its Postgres does not answer it.",
        team="data",
    ),
    Alert(
        "SuperAgentRedisDown",
        'avg by (environment) (superagent_dependency_up{dependency="redis"}) < 0.5',
        "2m",
        "{{ $labels.environment }}: the service has lost Redis",
        "Only {{ $value | humanizePercentage }} of the service processes reach Redis; limits are local and "
        "caches are off.",
        team="data",
    ),
    Alert(
        "SuperAgentReplicationLagHigh",
        "max by (environment, instance) (pg_replication_lag_seconds) > 60",
        "5m",
        "{{ $labels.environment }}: replica {{ $labels.instance }} lags",
        "It is {{ $value | humanizeDuration }} behind the primary; the limit is 60 s.",
        team="data",
    ),
    Alert(
        "SuperAgentDiskSpaceLow",
        """
        min by (environment, instance, mountpoint) (
        node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs|overlay|squashfs"}
        / node_filesystem_size_bytes{fstype!~"tmpfs|ramfs|overlay|squashfs"}
        ) < 0.1
        """,
        "10m",
        "{{ $labels.environment }}: {{ $labels.instance }} runs out of disk",
        "{{ $labels.mountpoint }} has {{ $value | humanizePercentage }} free; the limit is 10 %.",
    ),
    Alert(
        "SuperAgentDrillFailed",
        "min by (environment) (superagent_drill_last_result) == 0",
        "0m",
        "{{ $labels.environment }}: the last restore drill failed",
        "The newest backup could not be restored and checked; it may be worthless.",
        team="data",
        dashboard="superagent-recovery",
    ),
    Alert(
        "SuperAgentReleaseStuck",
        """
        min by (environment) (min_over_time(superagent_release_in_progress[2h])) == 1
        and on (environment) min by (environment) (superagent_release_in_progress offset 2h) == 1
        """,
        "0m",
        "{{ $labels.environment }}: a release has been open for over 2 h",
        "Two colours serve or wait; nobody promoted or aborted.",
        dashboard="superagent-release",
    ),
)
