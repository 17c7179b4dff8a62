"""Remove what retention allows: locks obeyed, manifest first, and what killed runs left behind."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from infra.errors import OperationFailed
from infra.recovery import catalog, ledger, retention
from infra.recovery.base_backup import is_segment, wal_prefix
from infra.recovery.manifest import KINDS, Kind, folder, manifest_key
from infra.recovery.retention import Decision
from infra.recovery.store import Store, code_of

ORPHAN_AGE: Final = timedelta(days=1)
"""A folder without manifest may be a backup in the making; after this no backup is."""


@dataclass(slots=True)
class Outcome:
    """What was, or with a dry run would be, done."""

    decisions: list[Decision] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    """Folders of backups that never got a manifest."""
    wal: list[str] = field(default_factory=list)
    """WAL segments that no kept base backup needs."""
    uploads: list[str] = field(default_factory=list)
    """Keys of multipart uploads that nobody finished."""


def run(
    store: Store,
    now: datetime,
    days: dict[Kind, int] | None = None,
    dry_run: bool = False,
    kinds: tuple[Kind, ...] = KINDS,
) -> Outcome:
    """Decide and, unless `dry_run`, remove."""
    outcome = Outcome()
    for kind in kinds:
        found = catalog.entries(store, kind)
        keep_days = {**retention.DAYS, **(days or {})}[kind]
        verified = ledger.newest_verified(store, kind, [entry.id for entry in found])
        for decision in retention.decide(found, kind, now, keep_days, verified):
            outcome.decisions.append(_obey_locks(store, decision, now))
        listed = {entry.id for entry in found}
        outcome.orphans += _orphans(store, kind, listed, now)
    if "base" in kinds:
        outcome.wal = _unneeded_wal(store, [d for d in outcome.decisions if d.entry.kind == "base"])
    outcome.uploads = _abandoned(store, now, dry_run)
    if not dry_run:
        for decision in outcome.decisions:
            if decision.remove:
                _remove_backup(store, decision.entry.kind, decision.entry.id)
        for key in outcome.wal:
            store.client.delete_object(Bucket=store.bucket, Key=key)
        for prefix in outcome.orphans:
            _remove(store, [item for item in _versions(store, prefix) if not _lock(store, item, now)[0]])
    return outcome


def _obey_locks(store: Store, decision: Decision, now: datetime) -> Decision:
    """A backup with any locked object stays whole: half of one would be worth nothing."""
    if not decision.remove:
        return decision
    for item in _versions(store, folder(decision.entry.kind, decision.entry.id)):
        locked, until = _lock(store, item, now)
        if locked:
            return replace(decision, remove=False, reason="locked", until=until)
    return decision


def _lock(store: Store, item: dict[str, str], now: datetime) -> tuple[bool, datetime | None]:
    if item.get("Marker"):
        return False, None
    try:
        head = store.client.head_object(Bucket=store.bucket, **_identity(item))
    except (ClientError, BotoCoreError) as failed:
        raise store.failure(f"read the lock of {item['Key']} in", failed) from None
    if head.get("ObjectLockLegalHoldStatus") == "ON":
        return True, None
    until: datetime | None = head.get("ObjectLockRetainUntilDate")
    return (until is not None and until > now), until


def _orphans(store: Store, kind: Kind, listed: set[str], now: datetime) -> list[str]:
    youngest: dict[str, datetime] = {}
    for item in store.list(f"backups/{kind}/"):
        backup_id = item.key.removeprefix(f"backups/{kind}/").partition("/")[0]
        if backup_id not in listed:
            youngest[backup_id] = max(item.modified, youngest.get(backup_id, item.modified))
    return [folder(kind, name) for name, last in sorted(youngest.items()) if now - last > ORPHAN_AGE]


def _unneeded_wal(store: Store, bases: list[Decision]) -> list[str]:
    """Segments older than the first one that the oldest kept base needs, of each cluster.

    A cluster without any kept base loses nothing: its WAL may be all that is left of it. Locked versions
    stay under the delete marker until their lock ends; the bucket's lifecycle removes them then.
    """
    first: dict[str, str] = {}
    for decision in bases:
        if not decision.remove:
            source = catalog.read(store, "base", decision.entry.id).source
            system, start = str(source["system"]), str(source["start_wal"])
            first[system] = min(start, first.get(system, start), key=lambda name: name[8:])
    return [
        item.key
        for system, start in sorted(first.items())
        for item in store.list(wal_prefix(system))
        if is_segment(name := item.key.removeprefix(wal_prefix(system)).removesuffix(".gz"))
        # The first eight digits are the timeline; a segment's age is what follows.
        and name[8:] < start[8:]
    ]


def _abandoned(store: Store, now: datetime, dry_run: bool) -> list[str]:
    keys = []
    pages = store.client.get_paginator("list_multipart_uploads").paginate(Bucket=store.bucket)
    try:
        for upload in (u for page in pages for u in page.get("Uploads", [])):
            if not upload["Key"].startswith("backups/") or now - upload["Initiated"] <= ORPHAN_AGE:
                continue
            keys.append(upload["Key"])
            if not dry_run:
                store.client.abort_multipart_upload(
                    Bucket=store.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
    except (ClientError, BotoCoreError) as failed:
        raise store.failure("clear unfinished uploads in", failed) from None
    return keys


def _remove_backup(store: Store, kind: Kind, backup_id: str) -> None:
    first = manifest_key(kind, backup_id)
    versions = _versions(store, folder(kind, backup_id))
    _remove(store, [item for item in versions if item["Key"] == first])
    _remove(store, [item for item in versions if item["Key"] != first])
    # The ledger's versions may be locked by the bucket's default; a marker hides them, and is allowed.
    store.client.delete_object(Bucket=store.bucket, Key=ledger.key(kind, backup_id))


def _versions(store: Store, prefix: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    pages = store.client.get_paginator("list_object_versions").paginate(Bucket=store.bucket, Prefix=prefix)
    try:
        for page in pages:
            for kind in ("Versions", "DeleteMarkers"):
                for item in page.get(kind, []):
                    marker = {"Marker": "yes"} if kind == "DeleteMarkers" else {}
                    found.append({"Key": item["Key"], "VersionId": item["VersionId"], **marker})
    except (ClientError, BotoCoreError) as failed:
        raise store.failure("list versions in", failed) from None
    return found


def _identity(item: dict[str, str]) -> dict[str, Any]:
    which = {"Key": item["Key"]}
    if item["VersionId"] != "null":
        which["VersionId"] = item["VersionId"]
    return which


def _remove(store: Store, items: list[dict[str, str]]) -> None:
    """Delete exact versions: a plain delete in a versioned bucket only hides."""
    for item in items:
        try:
            store.client.delete_object(Bucket=store.bucket, **_identity(item))
        except ClientError as failed:
            raise OperationFailed(
                f"{item['Key']} could not be removed from bucket {store.bucket}: {code_of(failed)}."
            ) from None
