"""The manifest: what one backup holds and everything that is needed to restore it; written last.

A backup exists when, and only when, its manifest can be read. The document carries its own SHA-256, so a
damaged manifest is told from a damaged backup.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from infra.errors import OperationFailed, UserError

FORMAT: Final = 1
"""Raised when an older tool could misread what this one writes."""

Kind = Literal["postgres", "redis", "config", "base"]
KINDS: Final[tuple[Kind, ...]] = ("postgres", "redis", "config", "base")
IN_AWS: Final[tuple[Kind, ...]] = ("postgres", "config")
"""What is backed up there: RDS has its own point-in-time recovery, and ElastiCache takes snapshots."""
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")


class IntegrityError(OperationFailed):
    """Bytes in the bucket are not the bytes that were written."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One object in the bucket; the segments of an archive, in order, are one stream."""

    key: str
    size: int
    """Stored bytes, after compression and encryption."""
    sha256: str
    version_id: str | None
    """S3 version; replication keeps it, so it is the same in the replica bucket."""


@dataclass(frozen=True, slots=True)
class Archive:
    """One restorable stream: for Postgres a `pg_dump --format=custom` archive."""

    name: str
    role: Literal["schema", "data", "rest", "rdb", "config", "base"]
    segments: tuple[Segment, ...]
    tables: tuple[str, ...] = ()
    """Quoted, qualified names of the tables whose rows are inside."""

    @property
    def size(self) -> int:
        return sum(segment.size for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Rows of one table at one snapshot: how many, and a sum of row hashes that ignores their order."""

    rows: int
    content: str


@dataclass(frozen=True, slots=True)
class Encryption:
    """Client-side envelope encryption: the data key, itself encrypted by KMS."""

    kms_key_id: str
    wrapped_key: str
    """Base64 of the KMS ciphertext."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything a stranger needs to restore this backup."""

    id: str
    kind: Kind
    environment: str
    snapshot_at: str
    """ISO 8601, by the clock of the store that was backed up: what was committed later is not inside."""
    started_at: str
    completed_at: str
    duration_seconds: float
    tool_version: str
    archives: tuple[Archive, ...]
    tables: dict[str, Fingerprint] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    """Facts about the source: server version, WAL position, schema version, roles, extensions, …"""
    encryption: Encryption | None = None
    format: int = FORMAT

    @property
    def size(self) -> int:
        """Stored bytes of all archives."""
        return sum(archive.size for archive in self.archives)

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())


def new_id(now: datetime | None = None) -> str:
    """A sortable id; the random tail keeps two backups of one second apart."""
    return f"{(now or datetime.now(UTC)).strftime('%Y%m%dT%H%M%SZ')}-{secrets.token_hex(3)}"


def check_id(value: str) -> str:
    """Refuse what is not an id before it becomes part of a key."""
    if not _ID.fullmatch(value):
        raise UserError(f"{value!r} is not a backup id.", "List them with `superagent backup list`.")
    return value


def folder(kind: Kind, backup_id: str) -> str:
    """Key prefix of one backup, with its final slash."""
    return f"backups/{kind}/{backup_id}/"


def manifest_key(kind: Kind, backup_id: str) -> str:
    return folder(kind, backup_id) + "manifest.json"


def encode(manifest: Manifest) -> bytes:
    """The document as it is stored."""
    body = asdict(manifest)
    return json.dumps({"manifest": body, "sha256": _digest(body)}, indent=1, sort_keys=True).encode()


def decode(document: bytes, key: str) -> Manifest:
    """Read a stored document. `IntegrityError` when damaged, `UserError` when a newer tool wrote it."""
    try:
        outer = json.loads(document)
        body = outer["manifest"]
        intact = outer["sha256"] == _digest(body)
    except (ValueError, KeyError, TypeError):
        raise IntegrityError(f"{key} is not a readable manifest.") from None
    if not intact:
        raise IntegrityError(f"{key} does not match its own SHA-256: the manifest is damaged.")
    if body.get("format") != FORMAT:
        raise UserError(
            f"{key} has manifest format {body.get('format')!r}, this tool reads {FORMAT}.",
            "Use the release of superagent that is named in its tool_version, or a newer one.",
        )
    try:
        return _build(body)
    except (KeyError, TypeError):
        raise UserError(
            f"{key} holds what this tool does not know; it is of tool_version {body.get('tool_version')}.",
            "Use that release of superagent, or a newer one.",
        ) from None


def _digest(body: dict[str, Any]) -> str:
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _build(body: dict[str, Any]) -> Manifest:
    archives = tuple(
        Archive(
            name=item["name"],
            role=item["role"],
            segments=tuple(Segment(**segment) for segment in item["segments"]),
            tables=tuple(item["tables"]),
        )
        for item in body["archives"]
    )
    tables = {name: Fingerprint(**value) for name, value in body["tables"].items()}
    encryption = Encryption(**body["encryption"]) if body["encryption"] else None
    return Manifest(**{**body, "archives": archives, "tables": tables, "encryption": encryption})
