"""Read backups back and compare every object with its manifest."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from infra.errors import OperationFailed
from infra.recovery import catalog, ledger
from infra.recovery.catalog import Entry
from infra.recovery.manifest import IntegrityError, Manifest
from infra.recovery.progress import Meter
from infra.recovery.store import Store


@dataclass(slots=True)
class Verdict:
    """What was found in one backup."""

    kind: str
    id: str
    read: int = 0
    """Objects read now."""
    trusted: int = 0
    """Objects that the ledger vouches for."""
    bytes_read: int = 0
    damaged: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not self.damaged


def backup(
    store: Store, entry: Entry, meter: Meter, full: bool = False, now: datetime | None = None
) -> Verdict:
    """Verify one backup and write its ledger. Damage is in the verdict; S3 not answering raises."""
    moment = now or ledger.now()
    verdict = Verdict(entry.kind, entry.id)
    try:
        manifest = catalog.read(store, entry.kind, entry.id)
    except IntegrityError as damaged:
        verdict.damaged.append(damaged.message)
        book = ledger.read(store, entry.kind, entry.id)
    else:
        book = ledger.read(store, entry.kind, entry.id)
        _segments(store, manifest, book, verdict, meter, full, moment)
    book.damaged = verdict.damaged
    book.verified_at = moment.isoformat() if verdict.sound else None
    ledger.write(store, book)
    return verdict


def _segments(
    store: Store,
    manifest: Manifest,
    book: ledger.Ledger,
    verdict: Verdict,
    meter: Meter,
    full: bool,
    now: datetime,
) -> None:
    for segment in (s for archive in manifest.archives for s in archive.segments):
        head = store.head(segment)
        if head is None:
            verdict.damaged.append(f"{segment.key} is missing from bucket {store.bucket}.")
            continue
        if head["ContentLength"] != segment.size:
            verdict.damaged.append(
                f"{segment.key} has {head['ContentLength']} bytes, the manifest says {segment.size}."
            )
            continue
        if not full and book.holds(segment, head, now):
            verdict.trusted += 1
            continue
        try:
            for chunk in store.read((segment,)):
                verdict.bytes_read += len(chunk)
                meter.add(len(chunk))
        except IntegrityError as damaged:
            verdict.damaged.append(damaged.message)
            book.lines.pop(segment.key, None)
            continue
        verdict.read += 1
        book.record(segment, head, now)


def require_sound(verdicts: list[Verdict]) -> None:
    """Raise when anything was damaged."""
    bad = [verdict for verdict in verdicts if not verdict.sound]
    if bad:
        told = " ".join(f"{v.kind} {v.id}: {' '.join(v.damaged)}" for v in bad)
        raise OperationFailed(f"{len(bad)} of {len(verdicts)} backups are damaged. {told}")
