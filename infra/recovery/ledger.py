"""What has been verified and when, so that `verify` does not read the whole bucket every time.

One document a backup beside its folder. An object counts as verified while its version and its ETag are the
ones that were read, and only for `REREAD`: bytes can rot under an unchanged ETag, so everything is read again
in time.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from infra.recovery.manifest import Kind, Segment
from infra.recovery.store import Store

REREAD: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Line:
    """One object that was read and found right."""

    etag: str
    version_id: str | None
    sha256: str
    read_at: str


@dataclass(slots=True)
class Ledger:
    """All lines of one backup. `verified_at` is set when every object was right at that time."""

    kind: Kind
    id: str
    lines: dict[str, Line] = field(default_factory=dict)
    verified_at: str | None = None
    damaged: list[str] = field(default_factory=list)
    """What the last verify found wrong; a damaged backup never counts as verified."""

    def holds(self, segment: Segment, head: dict[str, Any], now: datetime) -> bool:
        """Whether this object needs no reading: same version and ETag, read recently."""
        line = self.lines.get(segment.key)
        return (
            line is not None
            and line.sha256 == segment.sha256
            and line.etag == head.get("ETag")
            and line.version_id == segment.version_id
            and now - datetime.fromisoformat(line.read_at) < REREAD
        )

    def record(self, segment: Segment, head: dict[str, Any], now: datetime) -> None:
        self.lines[segment.key] = Line(
            head.get("ETag", ""), segment.version_id, segment.sha256, now.isoformat()
        )


def key(kind: Kind, backup_id: str) -> str:
    return f"ledger/{kind}/{backup_id}.json"


def read(store: Store, kind: Kind, backup_id: str) -> Ledger:
    """The ledger of a backup; empty when it was never verified, or by a tool that writes another one."""
    try:
        found = store.get_json(key(kind, backup_id)) or {"lines": {}, "verified_at": None, "damaged": []}
        lines = {name: Line(**line) for name, line in found["lines"].items()}
        return Ledger(kind, backup_id, lines, found["verified_at"], found["damaged"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return Ledger(kind, backup_id)  # what cannot be read vouches for nothing: all is read again


def write(store: Store, ledger: Ledger) -> None:
    store.put_json(key(ledger.kind, ledger.id), asdict(ledger))


def newest_verified(store: Store, kind: Kind, ids: list[str]) -> str | None:
    """The newest of `ids` (oldest first) whose every object was right when last read."""
    for backup_id in reversed(ids):
        ledger = read(store, kind, backup_id)
        if ledger.verified_at and not ledger.damaged:
            return backup_id
    return None


def now() -> datetime:
    return datetime.now(UTC)
