"""A ticket: look at it this week, before it becomes one of the others."""

from __future__ import annotations

from typing import Final

from alerts.model import Alert

ALERTS: Final = (
    Alert(
        "SuperAgentErrorRatioElevated",
        "environment:superagent_http_errors:ratio_rate5m > 0.05",
        "10m",
        "{{ $labels.environment }}: more than 5 % of requests fail",
        "{{ $value | humanizePercentage }} of requests were answered with a 5xx status over 5 minutes.",
    ),
    Alert(
        "SuperAgentLatencyElevated",
        "environment:superagent_http_request_duration_seconds:p95_5m > 5",
        "10m",
        "{{ $labels.environment }}: p95 latency is above 5 s",
        "One request in twenty takes longer than {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "SuperAgentBreakerOpen",
        "max by (environment, provider) (superagent_provider_circuit_breaker_state == bool 1) == 1",
        "1m",
        "{{ $labels.environment }}: the breaker of {{ $labels.provider }} is open",
        "At least one process has stopped calling {{ $labels.provider }}.",
        dashboard="superagent-llm",
    ),
    # Under 0.1 look-ups a second the ratio says nothing.
    Alert(
        "SuperAgentCacheHitRateLow",
        """
        environment_cache:superagent_cache_hits:ratio_rate30m < 0.05
        and on (environment, cache)
        environment_cache:superagent_cache_lookups:rate30m > 0.1
        """,
        "1h",
        "{{ $labels.environment }}: the {{ $labels.cache }} cache hardly ever hits",
        "{{ $value | humanizePercentage }} of look-ups hit over 30 minutes; the limit is 5 %.",
    ),
    Alert(
        "SuperAgentThroughputLow",
        """
        environment:superagent_http_requests:rate5m
        < 0.25 * avg_over_time(environment:superagent_http_requests:rate5m[1h])
        and avg_over_time(environment:superagent_http_requests:rate5m[1h]) > 1
        """,
        "10m",
        "{{ $labels.environment }}: traffic has dropped",
        "{{ $value | humanize }} requests a second, less than a quarter of the last hour's average.",
    ),
    Alert(
        "SuperAgentInstanceDown",
        'up{job="superagent"} == 0',
        "5m",
        "{{ $labels.environment }}: {{ $labels.instance }} is down",
        "One {{ $labels.colour }} process does not answer its scrape; the others carry its load.",
    ),
    Alert(
        "SuperAgentMonitoringTargetDown",
        'up{job!="superagent"} == 0',
        "5m",
        "{{ $labels.environment }}: {{ $labels.job }} cannot be scraped",
        "{{ $labels.instance }} of job {{ $labels.job }} is down; alerts that read it are blind.",
    ),
    Alert(
        "SuperAgentMemoryHigh",
        "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes > 0.85",
        "10m",
        "{{ $labels.environment }}: {{ $labels.instance }} is short of memory",
        "{{ $value | humanizePercentage }} of memory is in use; the limit is 85 %.",
    ),
    Alert(
        "SuperAgentCpuHigh",
        'avg by (environment, instance) (1 - rate(node_cpu_seconds_total{mode="idle"}[5m])) > 0.8',
        "15m",
        "{{ $labels.environment }}: {{ $labels.instance }} is short of CPU",
        "{{ $value | humanizePercentage }} of CPU time was used over 5 minutes; the limit is 80 %.",
    ),
    Alert(
        "SuperAgentPostgresConnectionsHigh",
        """
        sum by (environment, instance, server) (pg_stat_activity_count)
        / min by (environment, instance, server) (pg_settings_max_connections) > 0.8
        """,
        "5m",
        "{{ $labels.environment }}: Postgres runs out of connections",
        "{{ $value | humanizePercentage }} of max_connections of {{ $labels.server }} are taken; the limit "
        "is 80 %.",
        team="data",
    ),
    # A server without maxmemory reports 0, and 0 as divisor is no alert.
    Alert(
        "SuperAgentRedisMemoryHigh",
        "redis_memory_used_bytes / (redis_memory_max_bytes > 0) > 0.9",
        "10m",
        "{{ $labels.environment }}: Redis runs out of memory",
        "{{ $value | humanizePercentage }} of maxmemory is in use; keys are being evicted.",
        team="data",
    ),
    Alert(
        "SuperAgentUsageJournalGrowing",
        "sum by (environment) (superagent_usage_journal_pending) > 10000",
        "10m",
        "{{ $labels.environment }}: usage rows wait for Postgres",
        "{{ $value | humanize }} rows lie in local journals only; losing a disk now loses them.",
        team="data",
    ),
    Alert(
        "SuperAgentBackupFailed",
        "max by (environment, kind) (increase(superagent_backup_failures_total[6h])) > 0",
        "0m",
        "{{ $labels.environment }}: a {{ $labels.kind }} backup failed",
        "At least one run failed in the last 6 h.",
        team="data",
        dashboard="superagent-recovery",
    ),
    Alert(
        "SuperAgentBackupStale",
        """
        time() - max by (environment, kind)
        (superagent_backup_last_verified_timestamp_seconds{environment!="prod"}) > 26 * 3600
        """,
        "10m",
        "{{ $labels.environment }}: the newest verified {{ $labels.kind }} backup is too old",
        "It was verified {{ $value | humanizeDuration }} ago; the limit is 26 h.",
        team="data",
        dashboard="superagent-recovery",
    ),
    Alert(
        "SuperAgentDrillOverdue",
        "time() - max by (environment) (superagent_drill_last_success_timestamp_seconds) > 8 * 86400",
        "10m",
        "{{ $labels.environment }}: no restore drill has passed for 8 days",
        "The last one passed {{ $value | humanizeDuration }} ago.",
        team="data",
        dashboard="superagent-recovery",
    ),
    Alert(
        "SuperAgentDrillMissing",
        """
        count by (environment) (up{job="superagent",environment="prod"} or up{job="tools"})
        unless on (environment)
        count by (environment) (superagent_drill_last_success_timestamp_seconds)
        """,
        "1h",
        "{{ $labels.environment }}: no restore drill that passed is known",
        "It runs, but nothing reports that its backups were ever restored.",
        team="data",
        dashboard="superagent-recovery",
    ),
    Alert(
        "SuperAgentRuleEvaluationFailing",
        "sum by (environment, instance) (increase(prometheus_rule_evaluation_failures_total[15m])) > 0",
        "0m",
        "{{ $labels.environment }}: Prometheus cannot evaluate its rules",
        "{{ $value | humanize }} evaluations failed in 15 minutes; an alert may be blind.",
    ),
    Alert(
        "SuperAgentNotificationsFailing",
        """
        sum by (environment, integration)
        (increase(alertmanager_notifications_failed_total[15m])) > 0
        """,
        "5m",
        "{{ $labels.environment }}: alerts do not get out by {{ $labels.integration }}",
        "{{ $value | humanize }} notifications failed in 15 minutes.",
    ),
)
