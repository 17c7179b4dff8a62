"""What the bucket and the release table say about backups and drills: the truth behind their metrics.

Whoever made them, wherever, is gone by now. A job that never ran, a host that died half-way and a report that
nobody signed all show here, because nothing is told that was not found.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from infra.errors import OperationFailed, UserError
from infra.recovery import catalog, ledger
from infra.recovery.manifest import IN_AWS, IntegrityError, Kind, Manifest
from infra.recovery.report import genuine
from infra.recovery.store import Found, Store

KINDS: Final[tuple[Kind, ...]] = ("postgres", "redis", "config")
REPORTS: Final = "drills/"
LOOK_BACK: Final = 60
"""Reports that are read in search of one that passed: more than a year of weekly drills."""
_FAILURES: Final = {"pk": "recovery", "sk": "failures"}


def made_in(compute: str) -> tuple[Kind, ...]:
    """Kinds that are backed up there. One of another, made by hand once, has no age: no other follows it."""
    return KINDS if compute == "local" else IN_AWS


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest backups of one kind; times in seconds since the epoch."""

    taken: float
    verified: float | None
    """Snapshot time of the newest one whose every object was read back."""
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Drills:
    """The last drill, and the last that passed; times in seconds since the epoch."""

    at: float
    passed: bool
    rpo_seconds: float | None
    rto_seconds: float | None
    last_success: float | None


@dataclass(slots=True)
class Bucket:
    """Reads the state of one bucket; what can never change is read once.

    `check` says whether a report's signature is this environment's; `None` where no key is known.
    """

    store: Store
    check: Callable[[bytes, bytes], bool] | None = None
    kinds: tuple[Kind, ...] = KINDS
    _manifests: dict[str, Manifest | None] = field(default_factory=dict)
    _reports: dict[tuple[str, datetime], dict[str, Any]] = field(default_factory=dict)

    def backups(self) -> dict[Kind, Newest]:
        """Kinds of which there is a backup. Raises `OperationFailed` when S3 does not answer."""
        found: dict[Kind, Newest] = {}
        manifests: dict[str, Manifest | None] = {}
        for kind in self.kinds:
            entries = catalog.entries(self.store, kind)
            taken: dict[str, float] = {}
            sound: list[tuple[datetime, Manifest]] = []
            for entry in entries:
                if manifest := self._manifest(kind, entry.id):
                    sound.append((catalog.holds_until(entry, manifest), manifest))
                    told = manifest.source.get("as_of", manifest.snapshot_at)
                    taken[entry.id] = _not_after(told, entry.modified)
                manifests[entry.id] = manifest
            if sound:
                sound.sort(key=lambda one: one[0])
                last = sound[-1][1]
                good = ledger.newest_verified(self.store, kind, [one.id for _, one in sound])
                found[kind] = Newest(
                    taken[last.id], taken[good] if good else None, last.size, last.duration_seconds
                )
        self._manifests = manifests  # those of pruned backups are forgotten
        return found

    def _manifest(self, kind: Kind, backup_id: str) -> Manifest | None:
        if backup_id not in self._manifests:
            try:
                return catalog.read(self.store, kind, backup_id)
            except (IntegrityError, UserError):
                return None  # damaged, or a newer tool's: nothing that could be restored here
        return self._manifests[backup_id]

    def drills(self) -> Drills | None:
        """`None` when there was no drill. Raises `OperationFailed` when S3 does not answer."""
        reports = [item for item in self.store.list(REPORTS) if item.key.endswith(".json")]
        if not reports:
            return None
        # By the clock of S3: the one that ran the drill may have been wrong.
        reports = sorted(reports, key=lambda item: (item.modified, item.key), reverse=True)[:LOOK_BACK]
        passed = (item for item in reports if self._report(item)["passed"])
        success, newest = next(passed, None), self._report(reports[0])
        return Drills(
            at=self._began(reports[0]),
            passed=newest["passed"],
            rpo_seconds=newest["rpo_seconds"],
            rto_seconds=newest["rto_seconds"],
            last_success=self._began(success) if success else None,
        )

    def _began(self, item: Found) -> float:
        return _not_after(self._report(item)["started_at"] or item.modified.isoformat(), item.modified)

    def _report(self, item: Found) -> dict[str, Any]:
        which = (item.key, item.modified)
        if which not in self._reports:
            self._reports[which] = self._judged(self.store.get(item.key))
        return self._reports[which]

    def _judged(self, document: bytes | None) -> dict[str, Any]:
        """A report whose signature is not ours, or that cannot be read, proves nothing: it did not pass."""
        try:
            found = json.loads(document or b"")
            measured = {name: found[name] for name in ("rpo_seconds", "rto_seconds")}
            told = {name: None if value is None else float(value) for name, value in measured.items()}
            if datetime.fromisoformat(found["started_at"]).tzinfo is None:
                raise ValueError(found["started_at"])
            passed = found["passed"] is True and (self.check is None or genuine(found, self.check))
        except (ValueError, KeyError, TypeError):
            return {"passed": False, "started_at": "", "rpo_seconds": None, "rto_seconds": None}
        return {**told, "started_at": found["started_at"], "passed": passed}


def _not_after(told: str, seen: datetime) -> float:
    """A moment that somebody's clock told, but never after S3 saw its trace: a wrong clock hides no age."""
    return min(datetime.fromisoformat(told), seen).timestamp()


def count_failure(table: Any, kind: Kind) -> None:
    """Add a backup that did not come about. Raises `OperationFailed`."""
    try:
        table.update_item(
            Key=_FAILURES,
            UpdateExpression="add #kind :one",
            ExpressionAttributeNames={"#kind": kind},
            ExpressionAttributeValues={":one": 1},
        )
    except (ClientError, BotoCoreError) as failed:
        raise OperationFailed(f"The failure cannot be counted: {type(failed).__name__}.") from None


def failures(table: Any) -> dict[Kind, int]:
    """Failures since the beginning, of every kind. Raises `OperationFailed`."""
    try:
        item = table.get_item(Key=_FAILURES, ConsistentRead=True).get("Item", {})
    except (ClientError, BotoCoreError) as failed:
        raise OperationFailed(f"The release table does not answer: {type(failed).__name__}.") from None
    return {kind: int(item.get(kind, 0)) for kind in KINDS}
