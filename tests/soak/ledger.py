"""Whether every answered request has exactly one usage row."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.recovery.database import Address

PATIENCE_SECONDS: Final = 60.0
"""The journal is shipped in the background."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Rows compared with answers."""

    answered: int
    rows: int
    lost: tuple[str, ...]
    """Request ids without a row."""
    waiting: int
    """Of these, how many stand in a journal on disk: late, not gone."""
    doubled: int


def compare(home: Path, wanted: Collection[str]) -> Verdict:
    """Waits until all rows are there, at most `PATIENCE_SECONDS`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        ids = _ids(home)
        lost = tuple(set(wanted).difference(ids))
        if not lost or time.monotonic() > deadline:
            return Verdict(len(wanted), len(ids), lost, _in_journals(home, lost), len(ids) - len(set(ids)))
        time.sleep(0.5)


def _in_journals(home: Path, ids: Collection[str]) -> int:
    written = b"".join(file.read_bytes() for file in (home / "data" / "journal").rglob("*.journal"))
    return sum(one.encode() in written for one in ids)


def _ids(home: Path) -> list[str]:
    address = Address.parse((home / "secrets" / "database_url").read_text())
    with address.connect() as connection:
        return [str(row[0]) for row in connection.execute("select request_id from usage")]
