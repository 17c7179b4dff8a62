"""`superagent restore --only redis` where the cache is ElastiCache: a new group from its own snapshot."""

from __future__ import annotations

import hashlib
from typing import Any

from infra import console
from infra.errors import UserError
from infra.recovery import elasticache
from infra.recovery.context import Context, read_secret

SNAPSHOT = "elasticache:"
"""Begins the name of an ElastiCache snapshot in `--from`."""


def perform(
    place: Context,
    source: str,
    group: str | None,
    into: str,
    security_groups: tuple[str, ...],
    dry_run: bool,
    poll: float = elasticache.POLL_SECONDS,
) -> dict[str, Any]:
    """Make the group; the same command finds the one that an interrupted run asked for."""
    client = place.client("elasticache")
    facts = elasticache.describe_snapshot(client, source.removeprefix(SNAPSHOT))
    old = elasticache.describe(client, group or str(facts["ReplicationGroupId"]))
    guards = sorted(security_groups) or elasticache.security_groups(client, old)
    if not guards:
        raise UserError(
            f"The security groups of {old['ReplicationGroupId']} are not known: its members are gone.",
            "Name them with `--security-group`.",
        )
    token = read_secret("cache_token") if old.get("AuthTokenEnabled") and not dry_run else None
    target = (
        target_name(str(old["ReplicationGroupId"]), str(facts["SnapshotName"])) if into == "new" else into
    )
    arguments = elasticache.restore_arguments(old, facts, target, guards, token)
    report: dict[str, Any] = {"source": old["ReplicationGroupId"], "target": target, "from": source}
    if dry_run:
        return {"dry_run": True, **report, "attributes": arguments}
    with console.step(f"Restore {target}"):
        made = elasticache.restore(client, old, arguments, poll)
    endpoint = made["NodeGroups"][0]["PrimaryEndpoint"]
    return report | {
        "endpoint": f"{endpoint['Address']}:{endpoint['Port']}",
        "compared": list(elasticache.SAME),
        "next": (
            "The stack names the cache: let it take the new group over with `pulumi import`, then start a "
            "release of the running version; the idle colour comes up on the new one."
        ),
    }


def target_name(old: str, snapshot: str) -> str:
    """The same wish always gets the same name; at most 40 characters, as ElastiCache allows."""
    return f"{old.split('-s-')[0][:28]}-s-{hashlib.sha256(snapshot.encode()).hexdigest()[:8]}"
