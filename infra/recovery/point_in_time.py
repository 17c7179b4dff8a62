"""The local cluster as of a moment: a base backup, archived WAL, a server beside the live one."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import psycopg

from infra import console
from infra.errors import OperationFailed, UserError
from infra.local import postgres
from infra.local.children import end_with_parent
from infra.local.layout import layout
from infra.recovery import archive, base_backup, catalog, disk, tools
from infra.recovery.context import Context
from infra.recovery.database import Address
from infra.recovery.manifest import Manifest
from infra.recovery.ports import free_port
from infra.recovery.progress import meter

RECOVERY_SECONDS: Final = 3600.0


def parse_time(text: str) -> datetime:
    """An ISO 8601 moment with its offset; without one nobody knows which clock is meant."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"{text!r} is no time.", "Write it like 2026-11-23T02:00:00+00:00.") from None
    if moment.tzinfo is None:
        raise UserError(f"{text!r} does not say its time zone.", f"Write {text}Z for UTC, or {text}+01:00.")
    return moment.astimezone(UTC)


def choose_base(place: Context, moment: datetime) -> Manifest:
    """The newest base backup that was complete before `moment`."""
    known = catalog.readable(place.store, "base")
    usable = [one for one in known if datetime.fromisoformat(one.snapshot_at) <= moment]
    if not usable:
        first = min((one.snapshot_at for one in known), default=None)
        raise UserError(
            f"No base backup is older than {moment.isoformat()}"
            + (f"; the first is of {first}." if first else "; there is none at all."),
            "Choose a later time, or restore a dump with `--from ID`.",
        )
    return max(usable, key=lambda one: one.snapshot_at)


@contextmanager
def server_at(place: Context, base: Manifest, moment: datetime, folder: Path) -> Iterator[Address]:
    """A server of its own that holds the cluster as of `moment`; the superuser's address on it."""
    data = folder / "data"
    shutil.rmtree(folder, ignore_errors=True)
    data.mkdir(parents=True, mode=0o700)
    if user := postgres.identity(layout()).user:
        shutil.chown(data, user)
    try:
        with console.step(f"Base backup {base.id}"):
            _unpack(place, base, data)
            tools.run([tools.find("pg_verifybackup", _major(base)), "-n", str(data)], {})
        with _running(place, base, moment, folder) as address:
            yield address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _major(base: Manifest) -> int:
    return int(base.source["postgres_major"])


def _unpack(place: Context, base: Manifest, data: Path) -> None:
    vault = archive.vault_of(base, place.store, place.kms)
    with meter("Restoring the cluster", base.size) as progress:
        chunks = archive.decompressed(vault.load(base.archives[0], progress))
        with disk.writing(data), tarfile.open(fileobj=cast(Any, _Readable(chunks)), mode="r|") as tar:
            tar.extractall(data, filter=_ours)  # noqa: S202 - `_ours` begins with tar_filter
        for _ in chunks:  # read to the end: only there the last segment's hash is compared
            continue


def _ours(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
    """Files of the identity that the server will run as: the archive names one of another namespace."""
    user = postgres.identity(layout()).user
    account = pwd.getpwnam(user) if user else None
    uid, gid = (account.pw_uid, account.pw_gid) if account else (os.geteuid(), os.getegid())
    safe = tarfile.tar_filter(member, path)
    return safe.replace(uid=uid, gid=gid, uname="", gname="")


class _Readable:
    """Chunks as the file object that tarfile reads."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = bytearray()

    def read(self, size: int) -> bytes:
        while len(self._buffer) < size and (chunk := next(self._chunks, b"")):
            self._buffer += chunk
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


@contextmanager
def _running(place: Context, base: Manifest, moment: datetime, folder: Path) -> Iterator[Address]:
    data, port, log = folder / "data", free_port(), folder / "log"
    config = folder / "wal_archive.json"
    endpoint = place.env.endpoint or ""
    system = str(base.source["system"])
    base_backup.write_config(config, endpoint, place.store.bucket, place.env.outputs.region, system)
    who = postgres.identity(layout())
    (data / "recovery.signal").touch()
    (data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 trust\n")
    if who.user:
        shutil.chown(data / "recovery.signal", who.user)
    fetch = base_backup.archive_command(config, "get", "'%f' '%p'")
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "archive_mode": "off",
        "restore_command": fetch,
        "recovery_target_time": moment.isoformat(),
        "recovery_target_action": "promote",
        "max_connections": "200",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    program = tools.find("postgres", _major(base))
    with log.open("wb") as words:
        process = subprocess.Popen(
            [*who.prefix, program, "-D", str(data), *options],
            stdout=words, stderr=words, user=who.user, preexec_fn=end_with_parent,
        )  # fmt: skip
    try:
        address = Address({"host": "127.0.0.1", "port": str(port), "user": "postgres", "dbname": "postgres"})
        with console.step(f"WAL up to {moment.isoformat()}"):
            _wait(process, address, log, moment)
        yield address
    finally:
        process.send_signal(2)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], address: Address, log: Path, moment: datetime) -> None:
    deadline = time.monotonic() + RECOVERY_SECONDS
    while not _recovered(address):
        if process.poll() is not None or time.monotonic() > deadline:
            told = log.read_text(errors="replace")
            if "recovery ended before configured recovery target was reached" in told:
                raise UserError(
                    f"The archive ends before {moment.isoformat()}: {_last_commit(told)}",
                    "Choose an earlier time.",
                )
            raise OperationFailed(f"Recovery failed: {tools.complaint(told)}")
        time.sleep(0.1)


def _last_commit(log: str) -> str:
    lines = [
        line.partition("LOG:")[2].strip() for line in log.splitlines() if "last completed transaction" in line
    ]
    return (lines or ["no commit after the base backup is in it"])[-1] + "."


def _recovered(address: Address) -> bool:
    try:
        with address.connect() as connection:
            row = connection.execute("select pg_is_in_recovery()").fetchone()
            return row is not None and row[0] is False
    except (OperationFailed, psycopg.Error):
        return False
