"""Whether every answered request has exactly one usage row."""

from __future__ import annotations

import time
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
    lost: int
    doubled: int


def compare(home: Path, wanted: set[str]) -> Verdict:
    """Waits until all rows are there, at most `PATIENCE_SECONDS`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        ids = _ids(home)
        lost = len(wanted.difference(ids))
        if not lost or time.monotonic() > deadline:
            return Verdict(len(wanted), len(ids), lost, len(ids) - len(set(ids)))
        time.sleep(0.5)


def _ids(home: Path) -> list[str]:
    address = Address.parse((home / "secrets" / "database_url").read_text())
    with address.connect() as connection:
        return [str(row[0]) for row in connection.execute("select request_id from usage")]
