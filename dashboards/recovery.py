"""Could we get it back, how much would be missing, and how long would it take?"""

from __future__ import annotations

from typing import Any

from dashboards.frame import Board, Row
from dashboards.panels import AMBER, PASSED, RED, Query, Unit, bars, lines, number, states
from dashboards.queries import tool
from dashboards.shapes import age

HOUR, DAY = 3600, 86400


def recovery() -> Board:
    """Backups by kind, and the restore drills that prove them."""
    return Board(
        "superagent-recovery",
        "SuperAgent / Recovery",
        "Age of what could be restored, and what the last drills measured.",
        (_backups(), _drills()),
        since="now-7d",
    )


def _backups() -> Row:
    def aged(title: str, metric: str, description: str, **more: Any) -> Any:
        query = Query(f"time() - max by (kind) ({tool(metric)})", "{{kind}}")
        limits = [(25 * HOUR, AMBER), (26 * HOUR, RED)]
        return number(
            title, [query], description,
            unit="dtdurations", steps=limits, span=12, height=5, graph=False, **more,
        )  # fmt: skip

    def measured(title: str, metric: str, description: str, unit: Unit) -> Any:
        return lines(
            title, [Query(f"max by (kind) ({tool(metric)})", "{{kind}}")], description, unit=unit, span=8
        )

    return Row(
        "Backups",
        (
            aged(
                "Age of the newest verified backup",
                "superagent_backup_last_verified_timestamp_seconds",
                "Read back and compared with its manifest; this is the recovery point.",
                runbook="SuperAgentBackupUnverified",
            ),
            aged(
                "Age of the newest backup",
                "superagent_backup_last_success_timestamp_seconds",
                "Written, perhaps not verified yet.",
            ),
            measured(
                "Backup size", "superagent_backup_size_bytes", "A sudden fall is worse than growth.", "bytes"
            ),
            measured("Backup duration", "superagent_backup_duration_seconds", "Time of the last run.", "s"),
            bars(
                "Backup failures",
                [Query(f"max by (kind) ({tool('superagent_backup_failures_total')})", "{{kind}}")],
                "Failed runs, as the tool counts them.",
                steps=[(1, RED)],
                span=8,
                runbook="SuperAgentBackupFailed",
            ),
        ),
    )


def _drills() -> Row:
    return Row(
        "Restore drills",
        (
            number(
                "Last drill",
                [Query(f"min({tool('superagent_drill_last_result')})")],
                "Whether the newest backup could be restored and was what its manifest says.",
                unit="none",
                names=PASSED,
                runbook="SuperAgentDrillFailed",
            ),
            age(
                "Since the last passed drill",
                "superagent_drill_last_success_timestamp_seconds",
                "They run weekly.",
                steps=[(7 * DAY, AMBER), (8 * DAY, RED)],
                runbook="SuperAgentDrillOverdue",
            ),
            number(
                "RPO",
                [Query(f"max({tool('superagent_drill_rpo_seconds')})")],
                "Data that would have been lost: from the newest row in the backup to the drill.",
                unit="dtdurations",
                graph=False,
            ),
            number(
                "RTO",
                [Query(f"max({tool('superagent_drill_rto_seconds')})")],
                "From the decision to restore until the service answered on the restored data.",
                unit="dtdurations",
                graph=False,
            ),
            lines(
                "RPO and RTO",
                [
                    Query(f"max({tool('superagent_drill_rpo_seconds')})", "RPO"),
                    Query(f"max({tool('superagent_drill_rto_seconds')})", "RTO"),
                ],
                "As each drill measured them.",
                unit="s",
            ),
            states(
                "Drill history",
                [Query(f"min by (environment) ({tool('superagent_drill_last_result')})", "{{environment}}")],
                "Result of the last drill at each time.",
                PASSED,
                runbook="SuperAgentDrillFailed",
            ),
        ),
    )
