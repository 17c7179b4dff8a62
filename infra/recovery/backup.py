"""Make a backup of Postgres: `pg_dump` archives of one snapshot, streamed; the manifest last."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from typing import Any, Final

from infra.home import version
from infra.recovery import envelope, fingerprint, manifest, plan, tools
from infra.recovery.archive import Vault, pipe_chunks
from infra.recovery.database import Address, Snapshot, hold_snapshot
from infra.recovery.lease import Lease
from infra.recovery.manifest import Archive, Encryption, Fingerprint, Kind, Manifest
from infra.recovery.progress import Meter, meter
from infra.recovery.store import Store

JOBS: Final = 2
"""pg_dump processes at once; the fingerprints are a third reader."""
LEVEL: Final = 1
"""zstd level; docs/adr/recovery.md holds the measurement behind it."""


class Draft:
    """A backup in the making: it becomes one by `publish` and by nothing else."""

    def __init__(
        self, store: Store, kind: Kind, environment: str, kms: Any = None, kms_key: str | None = None
    ) -> None:
        self.store = store
        self.kind = kind
        self.environment = environment
        self.id = manifest.new_id()
        self.started = datetime.now(UTC)
        self._clock = time.monotonic()
        self.encryption: Encryption | None = None
        key = None
        if kms_key:
            key, self.encryption = envelope.new_data_key(kms, kms_key, self.id)
        self.vault = Vault(store, manifest.folder(kind, self.id), self.id, key)

    def publish(
        self,
        archives: list[Archive],
        snapshot_at: str,
        source: dict[str, Any],
        tables: dict[str, Fingerprint],
        lease: Lease,
    ) -> Manifest:
        """Write the manifest, if the lease is still this process's."""
        made = Manifest(
            id=self.id,
            kind=self.kind,
            environment=self.environment,
            snapshot_at=snapshot_at,
            started_at=self.started.isoformat(),
            completed_at=datetime.now(UTC).isoformat(),
            duration_seconds=round(time.monotonic() - self._clock, 3),
            tool_version=version(),
            archives=tuple(archives),
            tables=tables,
            source=source,
            encryption=self.encryption,
        )
        lease.assert_held()
        self.store.put(manifest.manifest_key(self.kind, self.id), manifest.encode(made))
        return made


def postgres(draft: Draft, address: Address, lease: Lease, as_of: datetime | None = None) -> Manifest:
    """Dump the database and publish the backup; raises, and publishes nothing, when any part fails.

    `as_of` is the moment that a point-in-time copy stands for.
    """
    with hold_snapshot(address) as snapshot:
        program = tools.find("pg_dump", snapshot.major)
        pieces = plan.pieces(list(snapshot.tables))
        with meter("Backing up", None) as progress:
            archives, prints = _run(draft.vault, address, snapshot, pieces, program, progress)
    source = {**snapshot.facts, "wal_position": snapshot.wal_position, "postgres_major": snapshot.major}
    if as_of is not None:
        source["as_of"] = as_of.isoformat()
    return draft.publish(archives, snapshot.at, source, prints, lease)


def _run(
    vault: Vault,
    address: Address,
    snapshot: Snapshot,
    pieces: list[plan.Piece],
    program: str,
    progress: Meter,
) -> tuple[list[Archive], dict[str, Fingerprint]]:
    children: list[tools.Child] = []

    def dump(piece: plan.Piece) -> Archive:
        command = [program, *plan.dump_arguments(piece, snapshot.id, LEVEL)]
        child = tools.Child(command, address.env())
        children.append(child)
        segments = vault.save(piece.name, _output(child), progress)
        tables = piece.tables if piece.role == "data" else ()
        return Archive(piece.name, piece.role, segments, tables)

    with ThreadPoolExecutor(JOBS + 1) as pool:
        prints = pool.submit(fingerprint.take, address, snapshot.tables, snapshot.id)
        work = [pool.submit(dump, piece) for piece in pieces]
        try:
            everything: list[Future[Any]] = [*work, prints]
            for done in as_completed(everything):
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in children:
                child.stop()
            raise
        return [future.result() for future in work], prints.result()


def _output(child: tools.Child) -> Iterator[bytes]:
    """The archive; it ends well only if the program did, so that a torn one is never closed as complete."""
    assert child.process.stdout is not None
    try:
        yield from pipe_chunks(child.process.stdout)
        child.finish()
    finally:
        child.stop()
