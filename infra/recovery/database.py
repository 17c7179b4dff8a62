"""One Postgres database: its address, its catalogue, a snapshot that other sessions can join."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg import conninfo, sql

from infra.errors import OperationFailed, UserError

_ENV = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "options": "PGOPTIONS",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is and how to get in; its text never shows the password."""

    parts: dict[str, str] = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Address:
        """From a `postgresql://` URL; `UserError` when it is none."""
        try:
            parts = {key: str(value) for key, value in conninfo.conninfo_to_dict(url).items()}
        except psycopg.ProgrammingError:
            raise UserError("The database URL is not a PostgreSQL URL.", "Write postgresql://…") from None
        unknown = set(parts) - set(_ENV)
        if unknown:
            raise UserError(
                f"The database URL has settings this tool cannot pass on: {', '.join(sorted(unknown))}.",
                "Remove them.",
            )
        return cls(parts)

    @property
    def name(self) -> str:
        return self.parts.get("dbname", "postgres")

    def database(self, name: str) -> Address:
        """The same server, another database."""
        return Address({**self.parts, "dbname": name})

    def with_parts(self, **parts: str) -> Address:
        return Address({**self.parts, **parts})

    def url(self) -> str:
        """The URL with everything in it; for a secrets file, never for a log."""
        from urllib.parse import quote, urlencode

        login = quote(self.parts.get("user", "postgres"), safe="")
        if "password" in self.parts:
            login += ":" + quote(self.parts["password"], safe="")
        rest = {
            k: v for k, v in self.parts.items() if k not in {"host", "port", "user", "password", "dbname"}
        }
        query = f"?{urlencode(rest)}" if rest else ""
        place = f"{self.parts.get('host', '127.0.0.1')}:{self.parts.get('port', '5432')}"
        return f"postgresql://{login}@{place}/{quote(self.name, safe='')}{query}"

    def env(self, **extra: str) -> dict[str, str]:
        """libpq's environment variables: what a child process gets instead of arguments."""
        return {_ENV[key]: value for key, value in {**self.parts, **extra}.items()}

    def connect(self, autocommit: bool = True) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection; `OperationFailed` with the server's reason, without the password."""
        try:
            return psycopg.connect(
                conninfo.make_conninfo("", connect_timeout="10", **self.parts), autocommit=autocommit
            )
        except psycopg.OperationalError as failed:
            reason = str(failed).strip().splitlines()[-1]
            raise OperationFailed(f"Database {self.name} does not accept a connection: {reason}") from None


@dataclass(frozen=True, slots=True)
class Table:
    """A table that holds rows of its own (an ordinary table or a partition)."""

    name: str
    """Quoted and qualified, as SQL and `pg_dump --table` take it."""
    size: int
    """Bytes on disk with TOAST, without indexes."""
    columns: tuple[tuple[str, str], ...]
    """Quoted column name and base type."""


_TABLES = """
select format('%%I.%%I', n.nspname, c.relname), pg_table_size(c.oid),
       coalesce((select array_agg(array[quote_ident(a.attname), coalesce(b.typname, t.typname)::text]
                                  order by a.attnum)
          from pg_attribute a join pg_type t on t.oid = a.atttypid
          left join pg_type b on b.oid = nullif(t.typbasetype, 0)
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '{}')
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r' and c.relpersistence <> 't'
   and n.nspname <> 'information_schema' and n.nspname !~ '^pg_' and n.nspname <> %s
   and not exists (select 1 from pg_depend d where d.classid = 'pg_class'::regclass
                      and d.objid = c.oid and d.deptype = 'e')
 order by 2 desc, 1
"""

NOTICE_MILLISECONDS: Final = 2_000
"""How soon the server sees that whoever asked was killed: else it finishes a scan or an index for nobody."""
PROGRESS_SCHEMA = "superagent_restore"
"""Where a restore keeps its progress inside its target; gone when it is complete."""


def tables(connection: psycopg.Connection[Any]) -> list[Table]:
    """Every table with rows of its own, largest first; what belongs to extensions is theirs to restore."""
    rows = connection.execute(_TABLES, (PROGRESS_SCHEMA,)).fetchall()
    return [Table(name, size, tuple((c[0], c[1]) for c in columns)) for name, size, columns in rows]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment of the database that stays visible while `held` runs."""

    id: str
    at: str
    wal_position: str | None
    major: int
    facts: dict[str, Any]
    tables: tuple[Table, ...]


_FACTS = """
select current_setting('server_version'), current_setting('server_version_num')::int / 10000,
       current_setting('server_encoding'), datcollate, datctype,
       clock_timestamp() at time zone 'utc', pg_database_size(datname),
       pg_get_userbyid(datdba)::text,
       coalesce((select array_agg(extname::text order by extname) from pg_extension), '{}'),
       coalesce((select array_agg(distinct r.rolname::text) from pg_shdepend d
                   join pg_roles r on r.oid = d.refobjid
                  where d.refclassid = 'pg_authid'::regclass and d.dbid = b.oid), '{}')
  from pg_database b where datname = current_database()
"""


@contextmanager
def hold_snapshot(address: Address) -> Iterator[Snapshot]:
    """Open a snapshot and keep it for other sessions until the block ends."""
    with address.connect(autocommit=False) as connection:
        connection.execute("set transaction isolation level repeatable read, read only")
        found = connection.execute("select pg_export_snapshot()").fetchone()
        facts = connection.execute(_FACTS).fetchone()
        assert found is not None and facts is not None
        present = tables(connection)
        for table in present:  # a table dropped before its own pg_dump starts would tear the backup
            run_sql(connection, f"lock table only {table.name} in access share mode")
        yield Snapshot(
            id=found[0],
            at=facts[5].isoformat() + "Z",
            wal_position=_wal_position(connection),
            major=facts[1],
            facts={
                "server_version": facts[0],
                "encoding": facts[2],
                "collate": facts[3],
                "ctype": facts[4],
                "database": address.name,
                "database_bytes": facts[6],
                "owner": facts[7],
                "extensions": facts[8],
                "roles": facts[9],
                "schema_version": _schema_version(connection),
            },
            tables=tuple(present),
        )


@contextmanager
def join_snapshot(address: Address, snapshot: str) -> Iterator[psycopg.Connection[Any]]:
    """A read-only transaction that sees exactly what the holder sees."""
    with address.connect(autocommit=False) as connection:
        connection.execute("set transaction isolation level repeatable read, read only")
        connection.execute(f"set client_connection_check_interval = {NOTICE_MILLISECONDS}")
        connection.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(snapshot)))
        yield connection


def _wal_position(connection: psycopg.Connection[Any]) -> str | None:
    try:
        with connection.transaction():
            row = connection.execute(
                "select case when pg_is_in_recovery() then pg_last_wal_replay_lsn()"
                " else pg_current_wal_lsn() end::text"
            ).fetchone()
    except psycopg.Error:
        return None
    return row[0] if row else None


def _schema_version(connection: psycopg.Connection[Any]) -> str | None:
    """The newest migration: dbmate keeps them in `schema_migrations`."""
    exists = connection.execute("select to_regclass('schema_migrations')").fetchone()
    if not exists or exists[0] is None:
        return None
    row = connection.execute("select max(version::text) from schema_migrations").fetchone()
    return row[0] if row else None


def run_sql(connection: psycopg.Connection[Any], text: str) -> psycopg.Cursor[Any]:
    """Execute a statement made of identifiers that the catalogue itself quoted."""
    return connection.execute(text)  # type: ignore[arg-type,unused-ignore]
