"""A temporary folder that is gone afterwards; what a killed process could not remove, the next one does.

The folder holds a locked file. The kernel lets go of the lock when the process dies, however it dies, so a
folder whose lock is free belongs to nobody. (A Postgres that a killed drill left running ends by itself when
its folder is gone: it looks for `postmaster.pid` every minute.)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

PREFIX: Final = "superagent-"
LOCK: Final = ".lock"
YOUNG_SECONDS: Final = 60.0
"""A folder without a lock may have been made this moment; an older one that is empty was left behind."""


@contextmanager
def folder(purpose: str, parent: Path | None = None, owner: str | None = None) -> Iterator[Path]:
    """An empty folder `superagent-<purpose>-…`; those that killed processes left beside it are removed.

    Only `owner` may enter it, by default whoever runs this.
    """
    sweep(purpose, parent)
    made, lock = _locked(purpose, parent)
    try:
        with lock:
            if owner:
                shutil.chown(made, owner)
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _locked(purpose: str, parent: Path | None) -> tuple[Path, IO[str]]:
    while True:
        made = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{purpose}-", dir=parent))
        try:
            lock = (made / LOCK).open("w")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except FileNotFoundError:
            continue
        if (made / LOCK).exists():
            return made, lock
        lock.close()  # another process swept it before it was locked


def sweep(purpose: str, parent: Path | None = None) -> None:
    """Remove what nobody holds any more; what cannot be looked at or removed is left."""
    for found in Path(parent or tempfile.gettempdir()).glob(f"{PREFIX}{purpose}-*"):
        with contextlib.suppress(OSError):
            _remove(found)


def _remove(found: Path) -> None:
    if found.is_symlink() or os.getuid() not in (0, found.stat().st_uid):
        return
    if not (found / LOCK).exists():
        if time.time() - found.stat().st_mtime > YOUNG_SECONDS:
            found.rmdir()  # refuses what is not empty: that is not one of ours
        return
    with (found / LOCK).open("r") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(found, ignore_errors=True)
