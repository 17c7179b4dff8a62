"""The rules in one table, and the one function that applies them."""

from __future__ import annotations

from typing import Final

from infra.policy import access, data, hygiene
from infra.policy.model import Estate, Finding, Rule

RULES: Final[tuple[Rule, ...]] = (
    Rule("encryption", "Data at rest is encrypted, with customer keys.", data.encryption),
    Rule(
        "buckets", "Buckets are closed, versioned, encrypted and refuse plain HTTP.", data.buckets, local=True
    ),
    Rule("private-data", "Nothing but the load balancer is reachable from the internet.", data.private),
    Rule("protection", "Staging and prod cannot lose data by a wrong command.", data.protection),
    Rule("backups", "Staging and prod have backups and survive the loss of an AZ.", data.backups),
    Rule("least-privilege", "IAM statements name actions and resources.", access.least_privilege, local=True),
    Rule("trust", "Roles name who may assume them.", access.trust, local=True),
    Rule("imds-v2", "Instances answer metadata requests with a token only.", access.metadata),
    Rule("tls", "Everything on the wire is TLS, 1.3 where clients come in.", access.tls),
    Rule("no-plain-secrets", "No secret stands in plain text in inputs.", access.secrets, local=True),
    Rule("resolved-outputs", "No output is formatted into text.", access.resolved, local=True),
    Rule("cluster-access", "EKS uses API access entries.", access.authentication),
    Rule("tags", "Everything carries the standard tags, instances and disks too.", hygiene.tags, local=True),
    Rule("log-retention", "Log groups have a retention.", hygiene.log_retention),
    Rule("immutable-images", "Image tags never move, images are scanned.", hygiene.image_tags),
    Rule("one-owner", "Weights and capacity belong to the release tool.", hygiene.one_owner, local=True),
    Rule("names", "Names of load balancers and target groups fit.", hygiene.names, local=True),
)


def findings(estate: Estate) -> list[Finding]:
    """Every rule that a resource of the estate breaks, in the order of the table."""
    return [
        Finding(rule.name, one.urn, f"{one.name} {message}")
        for rule in RULES
        if rule.local or estate.environment != "local"
        for one, message in rule.check(estate)
    ]
