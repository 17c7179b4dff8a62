"""A drawing of the estate: components and who reaches whom, read from the recorded resources."""

from __future__ import annotations

from typing import Final

from infra.preview.report import Report

# component -> title
TITLES: Final = {
    "edge": "Edge: ALB, listeners, blue and green",
    "waf": "WAF",
    "address": "Route 53",
    "certificate": "ACM",
    "network": "Network: VPC",
    "endpoints": "Endpoints",
    "flow-logs": "Flow logs",
    "fleet": "Fleet",
    "database": "RDS Postgres",
    "cache": "ElastiCache Valkey",
    "backups": "Backup bucket",
    "vault": "AWS Backup",
    "disaster-recovery": "Second region",
    "releases": "Release journal, parameters",
    "secrets": "KMS, Secrets Manager",
    "registry": "ECR",
    "identity": "GitHub OIDC",
    "observability": "AMP, Grafana, SNS, logs",
    "alarms": "CloudWatch alarms",
    "access-logs": "Access logs",
}
ARROWS: Final = (
    ("client", "waf", ""),
    ("waf", "edge", ""),
    ("address", "edge", "alias"),
    ("certificate", "edge", "TLS"),
    ("edge", "fleet", "weights"),
    ("edge", "access-logs", ""),
    ("fleet", "database", ""),
    ("fleet", "cache", ""),
    ("fleet", "registry", "image"),
    ("fleet", "secrets", ""),
    ("fleet", "releases", "image, pointer"),
    ("fleet", "observability", "metrics, logs"),
    ("database", "vault", ""),
    ("releases", "vault", ""),
    ("vault", "disaster-recovery", "copies"),
    ("database", "disaster-recovery", "replica"),
    ("backups", "disaster-recovery", "replication"),
    ("alarms", "observability", ""),
    ("identity", "registry", "push"),
    ("identity", "releases", "release"),
)


def mermaid(report: Report) -> str:
    """A flowchart with the components that exist; changed ones are marked."""
    estate = report.estate
    counts: dict[str, int] = {}
    for urn in estate.resources:
        if urn in estate.custom:
            name = estate.component(urn)
            counts[name] = counts.get(name, 0) + 1
    changed = {one.component for one in report.change.changes} if report.change else set()
    lines = ["flowchart LR", "  client([Clients])"]
    for name, count in counts.items():
        title = TITLES.get(name, name)
        lines.append(
            f'  {_id(name)}["{title}<br/>{count} resources"]{":::changed" if name in changed else ""}'
        )
    for start, end, label in ARROWS:
        if (start in counts or start == "client") and end in counts:
            lines.append(f"  {_id(start)} --{f'>|{label}|' if label else '>'} {_id(end)}")
    lines.append("  classDef changed stroke:#d97706,stroke-width:3px")
    return "\n".join(lines) + "\n"


def _id(name: str) -> str:
    return name.replace("-", "_")
