"""Bring a backup back into a new database and prove that it is the same."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from infra.errors import OperationFailed, UserError
from infra.recovery import archive, fingerprint, load
from infra.recovery.database import Address, tables
from infra.recovery.manifest import Fingerprint, Manifest
from infra.recovery.progress import Meter, meter
from infra.recovery.store import Store

HISTORY = "history/restores/"


@dataclass(slots=True)
class Restored:
    """What one restore did; also the record that the next `--dry-run` estimates from."""

    backup: str
    database: str
    bytes: int
    rows: int
    load_seconds: float
    verify_seconds: float
    compared: str
    """`content`, or `rows` when the server's major version differs and hashes mean nothing."""
    differences: list[str] = field(default_factory=list)
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())


class ChangedSince(UserError):
    """The target was restored from this backup once, and has been written to since."""


def database_name(base: str, backup_id: str) -> str:
    """Name of the new database for a backup: the original's name, then the backup's id."""
    stem = base.split("_r2")[0]
    return f"{stem}_r{backup_id.replace('-', '_').lower()}"[:63]


def run(
    store: Store, manifest: Manifest, server: Address, name: str, kms: Any, remember: bool = True
) -> Restored:
    """Load, compare, finish. Raises when anything differs; the target then stays for inspection, unused."""
    started = time.monotonic()
    try:
        target = load.prepare(server, name, manifest)
    except load.AlreadyRestored:
        return _again(store, manifest, server.database(name), kms)
    with meter("Restoring", manifest.size) as progress:
        loader = load.Loader(target, manifest, archive.vault_of(manifest, store, kms), progress)
        loader.run()
    loaded = time.monotonic()
    compared, wrong = compare(target, manifest)
    result = Restored(
        backup=manifest.id,
        database=name,
        bytes=manifest.size,
        rows=manifest.rows,
        load_seconds=round(loaded - started, 3),
        verify_seconds=round(time.monotonic() - loaded, 3),
        compared=compared,
        differences=wrong,
    )
    if wrong:
        raise OperationFailed(f"Database {name} is not what was backed up: {' '.join(wrong)}")
    loader.finish()
    if remember:
        store.put_json(f"{HISTORY}{manifest.id}-{int(time.time())}.json", asdict(result))
    return result


def _again(store: Store, manifest: Manifest, target: Address, kms: Any) -> Restored:
    """Nothing is loaded twice: a target that is complete is compared once more."""
    started = time.monotonic()
    compared, wrong = compare(target, manifest)
    if wrong:
        raise ChangedSince(
            f"Database {target.name} was restored from {manifest.id} and has changed since: {wrong[0]}",
            "Restore into another name with `--into NAME`.",
        )
    load.Loader(target, manifest, archive.vault_of(manifest, store, kms), Meter(None, 0)).finish()
    seconds = round(time.monotonic() - started, 3)
    return Restored(manifest.id, target.name, 0, manifest.rows, 0.0, seconds, compared)


def compare(target: Address, manifest: Manifest) -> tuple[str, list[str]]:
    """How the target was compared with the manifest, and every difference."""
    with target.connect() as connection:
        present = tables(connection)
        major = connection.info.server_version // 10000
    actual = fingerprint.take_parallel(target, present, load.JOBS)
    if major == manifest.source["postgres_major"]:
        return "content", fingerprint.differences(manifest.tables, actual)
    return "rows", fingerprint.differences(_rows_only(manifest.tables), _rows_only(actual))


def _rows_only(prints: dict[str, Fingerprint]) -> dict[str, Fingerprint]:
    return {name: Fingerprint(value.rows, "") for name, value in prints.items()}


def last_run(store: Store) -> Restored | None:
    """The newest restore that succeeded in this environment: what the next one will take."""
    newest = max(store.list(HISTORY), key=lambda item: item.modified, default=None)
    return Restored(**store.get_json(newest.key)) if newest else None


def estimate(last: Restored | None, size: int) -> float | None:
    """Seconds that a restore of `size` stored bytes will take, by the last one's rate (pure)."""
    if last is None or not last.bytes:
        return None
    return round((last.load_seconds + last.verify_seconds) * size / last.bytes, 1)
