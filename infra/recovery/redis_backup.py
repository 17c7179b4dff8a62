"""Back up Redis or Valkey, load the snapshot into a server of its own, and hand it to the live one."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis

from infra.errors import OperationFailed, UserError
from infra.local.children import end_with_parent
from infra.recovery import archive, disk, rdb, workspace
from infra.recovery.backup import LEVEL, Draft
from infra.recovery.lease import Lease
from infra.recovery.manifest import Archive, Manifest
from infra.recovery.ports import free_port
from infra.recovery.progress import meter
from infra.recovery.tools import valkey_server

LOAD_SECONDS = 600
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def create(draft: Draft, url: str, lease: Lease) -> Manifest:
    """Stream one snapshot into the bucket and publish it."""
    asked = datetime.now(UTC)
    with rdb.snapshot(url) as stream, meter("Backing up Redis", None) as progress:
        segments = draft.vault.save("dump.rdb.zst", archive.compressed(stream.chunks(), LEVEL), progress)
    header = stream.header
    source: dict[str, Any] = {"rdb_version": header.version, "keys": header.keys, "rdb_bytes": stream.size}
    # A save that was already running when we asked is older than the question: its own time counts.
    at = min(header.created or asked, asked).isoformat()
    return draft.publish([Archive("dump.rdb.zst", "rdb", segments)], at, source, {}, lease)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A server of its own that holds the snapshot."""

    host: str
    port: int
    keys: int
    expired: int
    """Keys whose time had run out since the snapshot; the server leaves them out."""


@contextmanager
def loaded(manifest: Manifest, vault: archive.Vault) -> Iterator[Loaded]:
    """Load a backup into a throw-away server on loopback and check the number of keys."""
    with workspace.folder("rdb") as folder, meter("Loading", None) as progress:
        with disk.writing(folder), (folder / "dump.rdb").open("wb") as file:
            for chunk in archive.decompressed(vault.load(manifest.archives[0], progress)):
                file.write(chunk)
        with _server(folder) as (client, port):
            facts: Any = client.info("persistence")
            keys, expired = int(facts["rdb_last_load_keys_loaded"]), int(facts["rdb_last_load_keys_expired"])
            expected = manifest.source["keys"]
            if expected is not None and keys + expired != expected:
                raise OperationFailed(
                    f"Redis loaded {keys} keys, {expired} had expired; the backup has {expected}."
                )
            yield Loaded("127.0.0.1", port, keys, expired)


@contextmanager
def _server(folder: Path) -> Iterator[tuple[redis.Redis, int]]:
    port = free_port()
    command = [
        *(valkey_server(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)),
        *("--dbfilename", "dump.rdb", "--save", "", "--appendonly", "no"),
    ]
    log = folder / "log"
    with log.open("wb") as words:
        process = subprocess.Popen(command, stdout=words, stderr=words, preexec_fn=end_with_parent)
    client = redis.Redis(port=port, socket_timeout=30)
    try:
        deadline = time.monotonic() + LOAD_SECONDS
        while not _answers(client):
            if process.poll() is not None or time.monotonic() > deadline:
                last = (log.read_text(errors="replace").strip().splitlines() or ["no message"])[-1]
                raise OperationFailed(f"Redis did not load the snapshot: {last}")
            time.sleep(0.05)
        yield client, port
    finally:
        client.close()
        process.terminate()
        process.wait(30)


def _answers(client: redis.Redis) -> bool:
    try:
        facts: Any = client.info("persistence")
    except (redis.ConnectionError, redis.BusyLoadingError):
        return False
    return int(facts["loading"]) == 0


def hand_over(source: Loaded, url: str) -> int:
    """Make the live server a copy of `source`, then its own master again; the number of keys it has then.

    The live server replaces its data in one step, its append-only file included, and keeps its clients.

    Raises `UserError` for a server of another machine, which would look for `source` on its own, read-only
    meanwhile.
    """
    host = urlsplit(url).hostname or ""
    if host not in LOOPBACK:
        raise UserError(
            f"The Redis at {host} cannot reach the restored data, which are served on this machine alone.",
            "Run it on that machine, with 127.0.0.1 in SUPERAGENT_REDIS_URL_FILE.",
        )
    with redis.Redis.from_url(url, socket_timeout=60) as live:
        try:
            live.replicaof(source.host, str(source.port))
            deadline = time.monotonic() + LOAD_SECONDS
            while not _in_step(live):
                if time.monotonic() > deadline:
                    raise OperationFailed("The live server did not take the snapshot over in time.")
                time.sleep(0.05)
        finally:
            live.replicaof("NO", "ONE")
        size: Any = live.dbsize()
        return int(size)


def _in_step(client: redis.Redis) -> bool:
    try:
        facts: Any = client.info("replication")
    except (redis.ConnectionError, redis.BusyLoadingError):
        return False
    return facts.get("master_link_status") == "up" and int(facts.get("master_sync_in_progress", 1)) == 0
