"""The local database as of a moment, as an ordinary backup: recovered beside the live server, then dumped.

The dump is more work than moving the data folder, but its result is compared table by table like every other
restore, lands in a new database of the same server, and stays in the bucket.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from infra import console
from infra.errors import UserError
from infra.local import postgres
from infra.local.layout import layout
from infra.recovery import backup, base_backup, catalog, cutover, point_in_time, server, workspace
from infra.recovery.context import Context
from infra.recovery.database import Address
from infra.recovery.lease import hold
from infra.recovery.manifest import Manifest


def materialise(place: Context, moment: datetime) -> Manifest:
    """A backup of the database as of `moment`; one that an earlier run made is used again."""
    base = point_in_time.choose_base(place, moment)
    made = _made_before(place, moment)
    if made is not None:
        return made
    admin = server.administrator(place)
    if server.reachable(admin):
        with admin.connect() as connection:
            if base_backup.system_identifier(connection) == base.source["system"]:
                _refuse_the_future(connection, moment)
                with console.step("Archive what is not archived yet"):
                    base_backup.switch_and_wait(connection)
    with (
        workspace.folder("point-in-time", layout().data, postgres.identity(layout()).user) as folder,
        point_in_time.server_at(place, base, moment, folder / "cluster") as recovered,
    ):
        address = recovered.database(_database(place, recovered, base))
        with hold(place.lease_table(), "backup postgres") as lease:
            draft = backup.Draft(place.store, "postgres", place.name)
            return backup.postgres(draft, address, lease, as_of=moment)


def _made_before(place: Context, moment: datetime) -> Manifest | None:
    for found in reversed(catalog.readable(place.store, "postgres")):
        if found.source.get("as_of") == moment.isoformat():
            return found
    return None


def _refuse_the_future(connection: Any, moment: datetime) -> None:
    row = connection.execute("select clock_timestamp()").fetchone()
    if row[0] < moment:
        raise UserError(
            f"{moment.isoformat()} has not come yet: the database's clock says {row[0].isoformat()}.",
            "Choose a time in the past.",
        )


def _database(place: Context, recovered: Address, base: Manifest) -> str:
    """The database in use now, if it was there at that moment, else the one in use at the base backup."""
    with recovered.connect() as connection:
        rows = connection.execute("select datname from pg_database where not datistemplate").fetchall()
    present = {row[0] for row in rows}
    now = cutover.pointer(place)
    for name in (now.database if now else None, base.source["database"]):
        if name in present:
            return str(name)
    raise UserError("The recovered cluster does not hold the service's database.", "Choose another time.")
