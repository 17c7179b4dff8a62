"""The server that a restore goes to: how to administer it, and, here, how to bring it back from nothing."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

from infra import console
from infra.errors import OperationFailed, UserError
from infra.local import health, postgres, state, supervision
from infra.local.layout import Layout, layout
from infra.recovery.context import Context, read_secret
from infra.recovery.database import Address

READY_SECONDS: Final = 120.0


def administrator(place: Context) -> Address:
    """The address with the right to create databases: the superuser here, the same login elsewhere."""
    if place.local:
        return Address.parse(read_secret("database_admin_url")).database("postgres")
    return place.database().database("postgres")


def reachable(address: Address) -> bool:
    """Whether the server accepts a connection now."""
    try:
        address.connect().close()
    except OperationFailed:
        return False
    return True


def revive_local(reinitialise: bool) -> str | None:
    """Make sure that the local server runs, with an empty cluster when its data is gone; what was done.

    A data folder that is there but does not start is only replaced when asked, and then kept aside.
    """
    here = layout()
    ports = state.load(here).ports
    folder = postgres.data(here)
    gone = not (folder / "PG_VERSION").exists()
    if not gone and not reinitialise:
        supervision.start("postgres", here)
        if _comes_up(here, ports):
            return None
        raise UserError(
            f"Postgres has a data folder ({folder}) but does not start: "
            f"{supervision.last_line(here, 'postgres')}",
            "Mend it, or add `--reinitialise` to keep the folder aside and begin with an empty one.",
        )
    with console.step("Empty Postgres cluster"):
        supervision.stop("postgres", here)
        kept = None
        if folder.exists():
            kept = folder.with_name(f"postgres.lost-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
            folder.rename(kept)
        _stop_archiving(here)
        postgres.initialise(here)
        postgres.configure(here, ports["postgres"])
        supervision.start("postgres", here)
        if not _comes_up(here, ports):
            raise OperationFailed(
                f"The new Postgres does not start: {supervision.last_line(here, 'postgres')}"
            )
        postgres.prepare(here, ports["postgres"])
    return f"empty cluster; the old folder is {kept}" if kept else "empty cluster; the old folder was gone"


def _stop_archiving(here: Layout) -> None:
    """A new cluster has a history of its own: it must not write into the old one's archive."""
    (here.conf / "postgres.d" / "archive.conf").unlink(missing_ok=True)


def _comes_up(here: Layout, ports: dict[str, int]) -> bool:
    deadline = time.monotonic() + READY_SECONDS
    hopeless = time.monotonic() + 10
    while health.problem("postgres", here, ports):
        process = supervision.processes(here).get("postgres")
        failing = process is None or process.state in {"BACKOFF", "FATAL", "EXITED", "STOPPED"}
        if time.monotonic() > deadline or (failing and time.monotonic() > hopeless):
            return False
        time.sleep(0.1)
    return True
