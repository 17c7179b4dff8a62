"""Fill an empty database from a backup's archives; every archive is a unit that can be done again."""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from infra.errors import OperationFailed, UserError
from infra.recovery import disk, tools, workspace
from infra.recovery.archive import Vault
from infra.recovery.database import NOTICE_MILLISECONDS, PROGRESS_SCHEMA, Address, run_sql
from infra.recovery.manifest import Archive, Manifest
from infra.recovery.progress import Meter

JOBS: Final = 2
SESSION_END_SECONDS: Final = 30.0
NOTE: Final = "superagent restored "
"""Begins the comment on a database that was restored completely."""
SESSION: Final = (
    "-c synchronous_commit=off -c maintenance_work_mem=256MB -c statement_timeout=0"
    f" -c client_connection_check_interval={NOTICE_MILLISECONDS}"
)
"""What a restore session asks for: safe, because nobody uses the target before the end."""


class AlreadyRestored(Exception):
    """The target already holds this backup, complete."""


def restored_from(server: Address, name: str) -> str | None:
    """Id of the backup that a database was restored from, by the note that `finish` leaves on it."""
    with server.database("postgres").connect() as connection:
        row = connection.execute(
            "select shobj_description(oid, 'pg_database') from pg_database where datname = %s", (name,)
        ).fetchone()
    note = (row and row[0]) or ""
    if not note.startswith(NOTE):
        return None
    found: str = json.loads(note.removeprefix(NOTE))["backup"]
    return found


def prepare(server: Address, name: str, manifest: Manifest) -> Address:
    """The target database, empty or half restored from this same backup; anything else is refused."""
    target = server.database(name)
    if restored_from(server, name) == manifest.id:
        raise AlreadyRestored(name)
    with server.database("postgres").connect() as connection:
        exists = connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone()
        if not exists:
            _create_roles(connection, [*manifest.source["roles"], manifest.source["owner"]])
            _create(connection, name, manifest.source)
    with target.connect() as connection:
        owner = _progress_owner(connection)
        if owner is None:
            _refuse_content(connection, name)
            _begin(connection, manifest.id)
        elif owner != manifest.id:
            raise UserError(
                f"Database {name} holds an unfinished restore of backup {owner}.",
                "Finish that one, or restore into another name.",
            )
        else:
            _end_sessions(connection)
    return target


def _end_sessions(connection: psycopg.Connection[Any]) -> None:
    """Those of an attempt that was killed: its programs die with it, but what they asked for goes on and
    would land beside what is loaded again.
    """
    ended = connection.execute(
        "select pid, pg_terminate_backend(pid, %s) from pg_stat_activity where datname = current_database()"
        " and usename = current_user and backend_type = 'client backend' and pid <> pg_backend_pid()",
        (round(SESSION_END_SECONDS * 1000),),
    ).fetchall()
    if left := [str(pid) for pid, done in ended if not done]:
        raise OperationFailed(
            f"Sessions of an earlier attempt do not end (Postgres pid {', '.join(left)}): look at"
            " pg_stat_activity, then say the same command again."
        )


def _create(connection: psycopg.Connection[Any], name: str, source: dict[str, Any]) -> None:
    statement = sql.SQL(
        "create database {} owner {} template template0 encoding {} lc_collate {} lc_ctype {}"
    ).format(
        sql.Identifier(name),
        sql.Identifier(source["owner"]),
        sql.Literal(source.get("encoding", "UTF8")),
        sql.Literal(source.get("collate", "C")),
        sql.Literal(source.get("ctype", "C")),
    )
    connection.execute(statement)


def _create_roles(connection: psycopg.Connection[Any], roles: list[str]) -> None:
    """Owners must exist before their tables do; without login, because passwords are not in a backup."""
    for role in roles:
        if not connection.execute("select 1 from pg_roles where rolname = %s", (role,)).fetchone():
            connection.execute(sql.SQL("create role {} nologin").format(sql.Identifier(role)))


def _refuse_content(connection: psycopg.Connection[Any], name: str) -> None:
    row = connection.execute(
        "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname <> 'information_schema' and n.nspname !~ '^pg_'"
    ).fetchone()
    if row and row[0]:
        raise UserError(
            f"Database {name} is not empty ({row[0]} relations): a restore never writes over data.",
            "Restore with `--into new`, then `--cutover`.",
        )


def _progress_owner(connection: psycopg.Connection[Any]) -> str | None:
    row = connection.execute("select to_regclass(%s)", (f"{PROGRESS_SCHEMA}.progress",)).fetchone()
    if row is None or row[0] is None:
        return None
    found = run_sql(
        connection,
        f"select backup from {PROGRESS_SCHEMA}.progress where step = 'begin'",  # noqa: S608
    ).fetchone()
    return found[0] if found else None


def _begin(connection: psycopg.Connection[Any], backup_id: str) -> None:
    with connection.transaction():
        run_sql(connection, f"create schema {PROGRESS_SCHEMA}")
        run_sql(
            connection,
            f"create table {PROGRESS_SCHEMA}.progress (step text primary key, backup text not null)",
        )
        _mark(connection, "begin", backup_id)


def _mark(connection: psycopg.Connection[Any], step: str, backup_id: str) -> None:
    connection.execute(
        sql.SQL("insert into {}.progress values (%s, %s) on conflict do nothing").format(
            sql.Identifier(PROGRESS_SCHEMA)
        ),
        (step, backup_id),
    )


class Loader:
    """One restore into one prepared target. `run` may be called again after any crash."""

    def __init__(self, target: Address, manifest: Manifest, vault: Vault, meter: Meter) -> None:
        self.target = target
        self.manifest = manifest
        self.vault = vault
        self.meter = meter
        self.program = tools.find("pg_restore", int(manifest.source["postgres_major"]))
        self.env = target.env(options=SESSION)
        self._children: list[tools.Child] = []

    def run(self) -> None:
        """Definitions, rows, then indexes and constraints; each step is marked done inside the target."""
        done = self._done()
        schema = next(archive for archive in self.manifest.archives if archive.role == "schema")
        with workspace.folder("restore") as folder:
            path = folder / "schema.dump"
            with disk.writing(folder), path.open("wb") as file:
                for chunk in self.vault.load(schema, self.meter):
                    file.write(chunk)
            if "pre-data" not in done:
                self._definitions(path, "pre-data", 1)
            self._rows([a for a in self.manifest.archives if a.role != "schema" and a.name not in done])
            if "post-data" not in done:
                self._definitions(path, "post-data", JOBS)

    def finish(self) -> None:
        """Take the progress out of the target: it is a database like any other from now on."""
        with self.target.connect() as connection:
            # A cutover away from this database may have made it read-only for new sessions.
            connection.execute("set default_transaction_read_only = off")
            note = {"backup": self.manifest.id, "snapshot_at": self.manifest.snapshot_at}
            statement = sql.SQL("comment on database {} is {}")
            text = NOTE + json.dumps(note)
            connection.execute(statement.format(sql.Identifier(self.target.name), sql.Literal(text)))
            run_sql(connection, f"drop schema if exists {PROGRESS_SCHEMA} cascade")

    def _done(self) -> set[str]:
        with self.target.connect() as connection:
            found = run_sql(connection, f"select step from {PROGRESS_SCHEMA}.progress")  # noqa: S608
            return {row[0] for row in found.fetchall()}

    def _did(self, step: str) -> None:
        with self.target.connect() as connection:
            _mark(connection, step, self.manifest.id)

    def _definitions(self, path: Path, section: str, jobs: int) -> None:
        # --clean makes the section repeatable: what a killed run created is dropped first.
        command = [
            *(self.program, "--section=" + section, "--clean", "--if-exists", "--exit-on-error"),
            *("--no-password", f"--jobs={jobs}", "--dbname", self.target.name, str(path)),
        ]
        tools.run(command, self.env)
        self._did(section)

    def _rows(self, archives: list[Archive]) -> None:
        with ThreadPoolExecutor(JOBS) as pool:
            work: list[Future[None]] = [pool.submit(self._archive, archive) for archive in archives]
            try:
                for done in as_completed(work):
                    done.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for child in self._children:
                    child.stop()
                raise

    def _archive(self, archive: Archive) -> None:
        self._empty(archive)
        command = [
            *(self.program, "--data-only", "--exit-on-error", "--no-password"),
            *("--dbname", self.target.name),
        ]
        child = tools.Child(command, self.env, feed=True)
        self._children.append(child)
        assert child.process.stdin is not None
        try:
            try:
                for chunk in self.vault.load(archive, self.meter):
                    _write_all(child, chunk)
            except BrokenPipeError:
                child.finish()
                raise OperationFailed(f"pg_restore stopped reading archive {archive.name}.") from None
            child.finish()
        finally:
            child.stop()
        self._did(archive.name)

    def _empty(self, archive: Archive) -> None:
        """Remove what an earlier, killed attempt at this archive left."""
        with self.target.connect() as connection:
            if archive.tables:
                run_sql(connection, f"truncate only {', only '.join(archive.tables)}")
            if archive.role == "rest":
                connection.execute("select lo_unlink(oid) from pg_largeobject_metadata")


def _write_all(child: tools.Child, chunk: bytes) -> None:
    assert child.process.stdin is not None
    view = memoryview(chunk)
    while view:
        view = view[child.process.stdin.write(view) :]
