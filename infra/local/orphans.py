"""Processes of this checkout that no supervisor watches any more (it was killed): find and end them."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from infra.local.layout import Layout


def find(place: Layout) -> list[int]:
    """Pids started by this checkout's supervisor.

    supervisord names its socket in each child's environment (`SUPERVISOR_SERVER_URL`), and the socket's
    path is this checkout's alone; so nothing else can match.
    """
    mark = b"SUPERVISOR_SERVER_URL=unix://" + os.fsencode(place.socket)
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def lives(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def end(place: Layout, seconds: float = 10.0) -> None:
    """Interrupt, and after `seconds` kill, what the supervisor left behind.

    SIGINT ends Postgres cleanly (fast shutdown) and every other part as well.
    """
    left = find(place)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + seconds
    while left := [pid for pid in left if lives(pid)]:
        if time.monotonic() > deadline:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
