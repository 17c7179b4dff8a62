"""Wake somebody: users are hurt now, or data is at risk."""

from __future__ import annotations

from typing import Final

from alerts.model import Alert

ALERTS: Final = (
    Alert(
        "SuperAgentServiceDown",
        'sum by (environment) (up{job="superagent"}) == 0',
        "1m",
        "{{ $labels.environment }}: no service process answers its scrape",
        "Not one target of job superagent in {{ $labels.environment }} is up; requests fail.",
    ),
    # Targets that vanish from discovery leave no `up` behind; what was there in the last 6 h tells.
    Alert(
        "SuperAgentServiceAbsent",
        """
        count by (environment) (last_over_time(up{job="superagent"}[6h]))
        unless on (environment) count by (environment) (up{job="superagent"})
        """,
        "5m",
        "{{ $labels.environment }}: every service target has vanished",
        "{{ $value }} targets of job superagent were scraped in the last 6 h, none is discovered now.",
    ),
    Alert(
        "SuperAgentEndpointUnreachable",
        'max by (environment) (probe_success{job="blackbox",probe="front"}) == 0',
        "2m",
        "{{ $labels.environment }}: the load balancer does not answer",
        "Probes of /health/ready through the load balancer of {{ $labels.environment }} all fail.",
    ),
    Alert(
        "SuperAgentDatabaseConnectionFailures",
        'avg by (environment) (superagent_dependency_up{dependency="postgres"}) < 0.5',
        "1m",
        "{{ $labels.environment }}: the service has lost Postgres",
        "Only {{ $value | humanizePercentage }} of the service processes reach Postgres; known keys still "
        "work, usage is kept in local journals, admin writes get 503.",
        team="data",
    ),
    Alert(
        "SuperAgentProvidersUnavailable",
        "max by (environment) (superagent_provider_health_status) == 0",
        "1m",
        "{{ $labels.environment }}: no LLM provider is healthy",
        "Every configured provider is unhealthy in every process; completions get 503.",
        dashboard="superagent-llm",
    ),
    # Attempts beyond an address's limit are refused before they become events; they count as a type here.
    Alert(
        "SuperAgentSecurityBreachPattern",
        """
        (
        sum by (environment, type)
        (rate(superagent_security_events_total{type=~"auth_failure|permission_denied|refresh_reused"}[5m]))
        or label_replace(
        sum by (environment) (rate(superagent_rate_limited_total{scope="auth"}[5m])),
        "type", "auth_limited", "", "")
        ) > 2
        """,
        "2m",
        "{{ $labels.environment }}: {{ $labels.type }} events look like an attack",
        "{{ $value | humanize }} {{ $labels.type }} events a second over 5 minutes; the limit is 2.",
        team="security",
    ),
    Alert(
        "SuperAgentBackupUnverified",
        """
        time() - max by (environment, kind)
        (superagent_backup_last_verified_timestamp_seconds{environment="prod"}) > 26 * 3600
        """,
        "10m",
        "{{ $labels.environment }}: the newest verified {{ $labels.kind }} backup is too old",
        "It was verified {{ $value | humanizeDuration }} ago; the limit is 26 h.",
        team="data",
        dashboard="superagent-recovery",
    ),
    # In production, and wherever an exporter says that backups are scheduled.
    Alert(
        "SuperAgentBackupMissing",
        """
        count by (environment) (up{job="superagent",environment="prod"} or up{job="tools"})
        unless on (environment)
        count by (environment) (superagent_backup_last_verified_timestamp_seconds{kind="postgres"})
        """,
        "1h",
        "{{ $labels.environment }}: no verified Postgres backup is known",
        "It runs, but nothing reports a verified backup of its database.",
        team="data",
        dashboard="superagent-recovery",
    ),
)
