"""A copy of the whole cluster, streamed, and the WAL after it: where point-in-time recovery starts."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg

from infra.errors import OperationFailed
from infra.home import CHECKOUT
from infra.local.layout import Layout, write
from infra.recovery import archive, tools
from infra.recovery.archive import pipe_chunks
from infra.recovery.backup import LEVEL, Draft
from infra.recovery.database import Address
from infra.recovery.lease import Lease
from infra.recovery.manifest import Archive, Manifest
from infra.recovery.progress import meter

ARCHIVE_TIMEOUT_SECONDS: Final = 60
"""Longest time that a commit waits for its segment to be archived: the RPO when the disk is lost."""
WAL: Final = "wal/"
ARCHIVED_SECONDS: Final = 120.0


def wal_prefix(system: str) -> str:
    """Folder of one cluster's WAL; another cluster has another system identifier."""
    return f"{WAL}{system}/"


def archive_command(config: Path, verb: str, words: str) -> str:
    """The command as Postgres' configuration holds it."""
    script = CHECKOUT / "infra" / "local" / "wal_archive.py"
    return f"'{sys.executable}' -I -S '{script}' '{config}' {verb} {words}"


def write_config(path: Path, endpoint: str, bucket: str, region: str, system: str) -> None:
    """What `wal_archive.py` needs to know; no secret."""
    text = {"endpoint": endpoint, "bucket": bucket, "region": region, "prefix": wal_prefix(system)}
    write(path, json.dumps(text))


def enable_archiving(here: Layout, admin: Address, endpoint: str, bucket: str, region: str) -> str:
    """Let the running local server archive its WAL; returns its system identifier. Harmless when it does."""
    with admin.connect() as connection:
        system = system_identifier(connection)
        config = here.conf / "wal_archive.json"
        write_config(config, endpoint, bucket, region, system)
        command = archive_command(config, "put", "'%p' '%f'").replace("'", "''")
        settings = f"archive_command = '{command}'\narchive_timeout = {ARCHIVE_TIMEOUT_SECONDS}\n"
        write(here.conf / "postgres.d" / "archive.conf", settings)
        connection.execute("select pg_reload_conf()")
        deadline = time.monotonic() + 10
        while "wal_archive.py" not in _setting(connection, "archive_command"):
            if time.monotonic() > deadline:
                raise OperationFailed("Postgres did not take the archive command.")
            time.sleep(0.05)
    return system


def system_identifier(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute("select system_identifier::text from pg_control_system()").fetchone()
    assert row is not None
    return str(row[0])


def _setting(connection: psycopg.Connection[Any], name: str) -> str:
    row = connection.execute("select setting from pg_settings where name = %s", (name,)).fetchone()
    return str(row[0]) if row else ""


def create(draft: Draft, admin: Address, system: str, database: str, lease: Lease) -> Manifest:
    """Stream a base backup into the bucket, wait for its WAL, publish."""
    with admin.connect() as connection:
        row = connection.execute("select current_setting('server_version_num')::int / 10000").fetchone()
        assert row is not None
        major = int(row[0])
        first = connection.execute("select pg_walfile_name(pg_current_wal_lsn())").fetchone()
        assert first is not None
        switch_and_wait(connection)  # pg_basebackup waits for its WAL for ever; so first see that it can
    program = tools.find("pg_basebackup", major)
    command = [
        *(program, "--pgdata=-", "--format=tar", "--wal-method=none", "--checkpoint=fast"),
        *("--no-password", "--manifest-checksums=SHA256", "--label=superagent"),
    ]
    env = admin.env()
    env.pop("PGDATABASE", None)
    child = tools.Child(command, env)
    with meter("Copying the cluster", None) as progress:
        packed = archive.compressed(_output(child), LEVEL)
        segments = draft.vault.save("base.tar.zst", packed, progress)
    with admin.connect() as connection:
        at = switch_and_wait(connection)
    source = {"postgres_major": major, "system": system, "database": database, "start_wal": first[0]}
    return draft.publish([Archive("base.tar.zst", "base", segments)], at, source, {}, lease)


def _output(child: tools.Child) -> Iterator[bytes]:
    assert child.process.stdout is not None
    try:
        yield from pipe_chunks(child.process.stdout)
        child.finish()
    finally:
        child.stop()


def switch_and_wait(connection: psycopg.Connection[Any]) -> str:
    """End the current segment and wait until the archive has it; the server's time before, as ISO 8601.

    After this, every commit up to that time can be restored.
    """
    row = connection.execute("select clock_timestamp() at time zone 'utc'").fetchone()
    assert row is not None
    at: str = row[0].isoformat() + "Z"
    # Recovery stops at the first commit after its target: there must be one.
    connection.execute("select pg_logical_emit_message(true, 'superagent', 'switch')")
    switched = connection.execute("select pg_walfile_name(pg_switch_wal())").fetchone()
    assert switched is not None
    name = str(switched[0])
    before = _archiver(connection)[2]
    deadline = time.monotonic() + ARCHIVED_SECONDS
    while True:
        last, failing, failures = _archiver(connection)
        if last and is_segment(last) and last >= name:
            return at
        # Postgres tries three times in a row, then waits a minute: nothing is gained by waiting with it.
        if failures - before >= 3 or time.monotonic() > deadline:
            raise OperationFailed(
                f"WAL {failing or name} does not reach the archive; the log of postgres says why."
            )
        time.sleep(0.1)


def _archiver(connection: psycopg.Connection[Any]) -> tuple[str | None, str | None, int]:
    row = connection.execute(
        "select last_archived_wal, last_failed_wal, failed_count from pg_stat_archiver"
    ).fetchone()
    return (row[0], row[1], int(row[2])) if row else (None, None, 0)


def is_segment(name: str) -> bool:
    """Whether a WAL file's name is that of a segment (not of a history or backup label file)."""
    return bool(re.fullmatch(r"[0-9A-F]{24}", name))
