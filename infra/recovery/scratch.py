"""A Postgres server for the length of one drill: empty, on loopback, in a temporary folder."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.errors import OperationFailed
from infra.local import postgres
from infra.local.children import end_with_parent
from infra.local.layout import Layout
from infra.recovery import server, tools, workspace
from infra.recovery.database import Address
from infra.recovery.ports import free_port

READY_SECONDS = 60.0


@contextmanager
def server_of(major: int, parent: Path | None = None, options: tuple[str, ...] = ()) -> Iterator[Address]:
    """A fresh server of this major version; the superuser's address. Everything is gone afterwards.

    `options` are further settings, `name=value`.
    """
    who = postgres.identity(Layout((parent or Path(tempfile.gettempdir())) / "drill"))
    with workspace.folder("drill", parent, who.user) as folder:
        data = folder / "data"
        initdb = [tools.find("initdb", major), "-D", str(data), "-U", "postgres", "-A", "trust"]
        made = subprocess.run(
            [*who.prefix, *initdb, "--encoding=UTF8", "--locale=C", "--no-sync"],
            capture_output=True, text=True, user=who.user, check=False,
        )  # fmt: skip
        if made.returncode:
            raise OperationFailed(f"initdb failed: {tools.complaint(made.stderr)}")
        with _running(data, folder / "log", major, who, options) as address:
            yield address


@contextmanager
def _running(
    data: Path, log: Path, major: int, who: postgres.Identity, options: tuple[str, ...]
) -> Iterator[Address]:
    port = free_port()
    command = [
        *(*who.prefix, tools.find("postgres", major), "-D", str(data), "-p", str(port)),
        *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
        # Nothing here survives the drill, so nothing has to reach the disk in order.
        *("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=128MB"),
        *(word for option in options for word in ("-c", option)),
    ]
    with log.open("wb") as words:
        process = subprocess.Popen(
            command, stdout=words, stderr=words, user=who.user, preexec_fn=end_with_parent
        )
    address = Address({"host": "127.0.0.1", "port": str(port), "user": "postgres", "dbname": "postgres"})
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not server.reachable(address):
            if process.poll() is not None or time.monotonic() > deadline:
                raise OperationFailed(f"Postgres did not start: {tools.complaint(log.read_text())}")
            time.sleep(0.05)
        yield address
    finally:
        process.send_signal(2)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
