"""Which backups exist: those whose manifest is in the bucket, and no others."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from infra import console
from infra.errors import UserError
from infra.recovery import manifest as manifests
from infra.recovery.manifest import Kind, Manifest
from infra.recovery.store import Store


@dataclass(frozen=True, slots=True)
class Entry:
    """One backup in the listing."""

    kind: Kind
    id: str
    modified: datetime
    """When S3 received the manifest. Backups are ordered by this one clock, not by those of their makers."""


def entries(store: Store, kind: Kind) -> list[Entry]:
    """Backups of a kind, oldest first."""
    prefix = f"backups/{kind}/"
    found = [
        Entry(kind, item.key.removeprefix(prefix).partition("/")[0], item.modified)
        for item in store.list(prefix)
        if item.key.endswith("/manifest.json")
    ]
    return sorted(found, key=lambda entry: (entry.modified, entry.id))


def read(store: Store, kind: Kind, backup_id: str) -> Manifest:
    """The manifest of one backup; `UserError` when there is no such backup."""
    key = manifests.manifest_key(kind, manifests.check_id(backup_id))
    document = store.get(key)
    if document is None:
        raise UserError(
            f"There is no {kind} backup {backup_id} in bucket {store.bucket}.",
            "List them with `superagent backup list`.",
        )
    return manifests.decode(document, key)


def readable(store: Store, kind: Kind) -> list[Manifest]:
    """Every backup of a kind that can be used here, oldest first: one that is damaged hides no other."""
    found = []
    for entry in entries(store, kind):
        try:
            found.append(read(store, kind, entry.id))
        except (manifests.IntegrityError, UserError) as failed:
            console.warn(failed.message)
    return found


def resolve(store: Store, kind: Kind, which: str) -> Manifest:
    """The backup that a person means by `latest` or an id.

    The latest is the one with the newest data: a copy of a moment in the past is made later and holds less.
    """
    if which != "latest":
        return read(store, kind, which)
    best: tuple[datetime, Manifest] | None = None
    for entry in reversed(entries(store, kind)):
        if best is not None and entry.modified <= best[0]:
            break  # no data is newer than its backup
        found = read(store, kind, entry.id)
        holds = holds_until(entry, found)
        if best is None or holds > best[0]:
            best = holds, found
    if best is not None:
        return best[1]
    raise UserError(
        f"Bucket {store.bucket} holds no {kind} backup.", "Make one with `superagent backup create`."
    )


def holds_until(entry: Entry, manifest: Manifest) -> datetime:
    """The moment up to which a backup holds what was committed, as far as backups are ordered by it."""
    as_of: str | None = manifest.source.get("as_of")
    return entry.modified if as_of is None else min(datetime.fromisoformat(as_of), entry.modified)
