"""`superagent restore` where the database is RDS: a new instance, compared, then the pointer."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import datetime
from typing import Any

from infra.errors import UserError
from infra.recovery import archive, catalog, config_backup, cutover, rds, rds_attributes
from infra.recovery.context import Context
from infra.stack.pointer import Pointer

SNAPSHOT = "rds:"
"""Begins the name of an RDS snapshot in `--from`."""


def perform(
    place: Context,
    instance: str | None,
    source: str,
    moment: datetime | None,
    into: str,
    switch: bool,
    dry_run: bool,
    poll: float = rds.POLL_SECONDS,
) -> dict[str, Any]:
    """Restore an instance from `rds:SNAPSHOT` or as of `moment`, and switch the pointer when asked.

    The same command finds the instance that an interrupted run asked for, and goes on with it.
    """
    client = place.client("rds")
    now = cutover.pointer(place)
    old = instance or (now.instance if now else None)
    if not old:
        raise UserError("Which RDS instance is meant is not known.", "Name it with `--instance`.")
    snapshot = source.removeprefix(SNAPSHOT) if source.startswith(SNAPSHOT) else None
    wanted, known_from = attributes(place, client, old)
    target = target_name(old, snapshot, moment) if into == "new" else into
    report: dict[str, Any] = {
        "source": old,
        "target": target,
        "from": source if snapshot else (moment.isoformat() if moment else "the last restorable moment"),
        "attributes_from": known_from,
    }
    if dry_run:
        return {"dry_run": True, **report, "attributes": wanted, "would_switch_pointer": switch}
    done = rds.restore(client, wanted, target, old, snapshot, moment, poll)
    report["restored"] = asdict(done)
    if switch:
        to = Pointer(target, now.database if now else str(wanted["DBName"]))
        report["cutover"] = asdict(cutover.switch(place, to))
        report["next"] = (
            "Start a release of the running version: the idle colour comes up on the new instance and takes "
            "over without losing a request (`superagent release start`)."
        )
    return report


def target_name(old: str, snapshot: str | None, moment: datetime | None) -> str:
    """A name that the same wish always gets, so that a second try finds the first one's instance."""
    if snapshot is None and moment is not None:
        return rds.new_name(old, moment)
    mark = hashlib.sha256((snapshot or "latest").encode()).hexdigest()[:14]
    return f"{old.split('-r2')[0].split('-s-')[0][:46]}-s-{mark}"


def attributes(place: Context, client: Any, old: str) -> tuple[dict[str, Any], str]:
    """What the instance was: asked of RDS, or, when it is gone, of the newest configuration backup."""
    try:
        return rds_attributes.of(rds.describe(client, old)), "RDS"
    except UserError:
        known = catalog.entries(place.store, "config")
        if not known:
            raise
    made = catalog.read(place.store, "config", known[-1].id)
    document = config_backup.read(made, archive.vault_of(made, place.store, place.kms))
    found: dict[str, Any] | None = document.get("database_instance")
    if found is None:
        raise UserError(
            f"RDS does not know {old!r}, and configuration backup {made.id} does not describe it.",
            "Name an existing instance of the same kind with `--instance`.",
        )
    return found, f"backup {made.id}"
