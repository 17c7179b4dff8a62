"""The whole way back: a server that runs, a database that is compared, a pointer that is switched."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from infra.errors import OperationFailed, UserError
from infra.recovery import catalog, cutover, load, restore, server, to_time
from infra.recovery.context import Context
from infra.recovery.database import Address, run_sql, tables
from infra.recovery.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for."""

    source: str = "latest"
    moment: datetime | None = None
    into: str = "new"
    switch: bool = False
    reinitialise: bool = False


def perform(place: Context, request: Request) -> dict[str, Any]:
    """Do it; the report says how long it took and what is not in the restored data."""
    began, started = datetime.now(UTC), time.monotonic()
    admin = server.administrator(place)
    revived = None
    if not server.reachable(admin):
        if not place.local:
            raise OperationFailed(
                "The database server does not answer. Bring one back with --from rds:NAME or --to-time."
            )
        if request.moment is None:
            catalog.resolve(place.store, "postgres", request.source)  # refuse before anything is replaced
        revived = server.revive_local(request.reinitialise)
    manifest = (
        to_time.materialise(place, request.moment)
        if request.moment
        else catalog.resolve(place.store, "postgres", request.source)
    )
    names = target_names(place, admin, manifest, request.into)
    lost = written_since(place, admin, manifest)
    unfinished = cutover.unfinished_target() if place.local else None
    if (
        unfinished is not None
        and unfinished.database in names
        and load.restored_from(admin, unfinished.database) == manifest.id
    ):
        name = unfinished.database
        result = {"backup": manifest.id, "database": name}  # it was compared before its cutover began
    else:
        result = asdict(_restore(place, manifest, admin, names))
        name = result["database"]
    report: dict[str, Any] = {
        "restored": result,
        "revived": revived,
        "snapshot_at": manifest.source.get("as_of", manifest.snapshot_at),
        "rpo_seconds": round((began - _moment(manifest)).total_seconds(), 1),
        "rows_written_since": lost,
    }
    if request.switch:
        report["cutover"] = asdict(cutover.switch(place, cutover.meant(place, name)))
    report["rto_seconds"] = round(time.monotonic() - started, 1)
    return report


def _moment(manifest: Manifest) -> datetime:
    return datetime.fromisoformat(manifest.source.get("as_of", manifest.snapshot_at))


def _restore(place: Context, manifest: Manifest, admin: Address, names: list[str]) -> restore.Restored:
    """Into the first name that is free, unfinished, or still equal to the backup."""
    for name in names[:-1]:
        try:
            return restore.run(place.store, manifest, admin, name, place.kms)
        except restore.ChangedSince:
            continue
    return restore.run(place.store, manifest, admin, names[-1], place.kms)


def target_names(place: Context, admin: Address, manifest: Manifest, into: str) -> list[str]:
    """Names for the new database, best first; from the backup, so that a second try finds the first one."""
    if into != "new":
        if len(into) > 63 or not into.replace("_", "").isalnum() or not into[0].isalpha():
            raise UserError(f"{into!r} is no database name here.", "Use letters, digits and underscores.")
        return [into]
    name = restore.database_name(str(manifest.source["database"]), manifest.id)
    unfinished = cutover.unfinished_target() if place.local else None
    if unfinished is not None and unfinished.database.startswith(name):
        return [unfinished.database]
    now = cutover.pointer(place)
    in_use = now.database if now else None
    with admin.connect() as connection:
        rows = connection.execute("select datname from pg_database where datname like %s", (name + "%",))
        present = {row[0] for row in rows.fetchall()}
    # The service writes to the one in use: it is no copy of the backup any more.
    candidates = [name, *(f"{name}_{n}" for n in range(2, 100))]
    return [one for one in candidates if not (one in present and one == in_use)]


def written_since(place: Context, admin: Address, manifest: Manifest) -> dict[str, int] | None:
    """Rows more (or fewer) in the database in use than in the backup; None when it cannot be asked."""
    in_use = cutover.pointer(place)
    if in_use is None:
        return None
    try:
        with admin.database(in_use.database).connect() as connection:
            now = {
                table.name: int(
                    (run_sql(connection, f"select count(*) from only {table.name}").fetchone() or [0])[0]  # noqa: S608
                )
                for table in tables(connection)
            }
    except (OperationFailed, psycopg.Error):
        return None  # a table that cannot be read may be why it is restored
    if not now:
        return None  # a cluster that was just begun afresh: nothing is known of what was lost
    difference = {
        table: now.get(table, 0) - (manifest.tables[table].rows if table in manifest.tables else 0)
        for table in sorted(now.keys() | manifest.tables.keys())
    }
    return {table: count for table, count in difference.items() if count}


def plan(place: Context, request: Request) -> dict[str, Any]:
    """What `perform` would do and how long it took last time; changes nothing."""
    admin = server.administrator(place)
    up = server.reachable(admin)
    steps = [] if up else ["begin with an empty Postgres cluster (the data folder is gone or broken)"]
    last = restore.last_run(place.store)
    document: dict[str, Any] = {"server_reachable": up}
    if request.moment is not None:
        from infra.recovery import point_in_time

        base = point_in_time.choose_base(place, request.moment)
        size = base.size
        steps += [
            f"unpack base backup {base.id} beside the live server",
            f"replay archived WAL up to {request.moment.isoformat()}",
            "back that database up, and restore this backup into a new database",
        ]
    else:
        manifest = catalog.resolve(place.store, "postgres", request.source)
        size = manifest.size
        document |= {"backup": manifest.id, "snapshot_at": manifest.snapshot_at, "rows": manifest.rows}
        name = (
            target_names(place, admin, manifest, request.into)[0]
            if up
            else restore.database_name(str(manifest.source["database"]), manifest.id)
        )
        steps.append(f"create database {name} and load {manifest.size:,} bytes into it")
    steps.append("compare rows and content of every table with the backup")
    if request.switch:
        steps += [
            f"set {place.env.outputs.database_pointer} to it (now {cutover.pointer(place)})",
            "drain and restart the service's processes one by one; the old database stays, read-only",
        ]
    return document | {
        "steps": steps,
        "estimate_seconds": restore.estimate(last, size),
        "last_restore": asdict(last) if last else None,
    }
