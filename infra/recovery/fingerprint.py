"""What a table holds, as two values that survive a restore: rows, and a hash that ignores their order.

The server hashes each row (`hash_record_extended`, 64 bit) and the hashes are added up: a restore may change
the physical order. PostgreSQL promises the hash only within one major version.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from infra.recovery.database import Address, Table, join_snapshot, run_sql
from infra.recovery.manifest import Fingerprint

DIRECT: Final = {
    *("int2", "int4", "int8", "oid", "bool", "float4", "float8", "bytea", "uuid", "jsonb"),
    *("date", "time", "timestamp", "timestamptz"),
}
"""Types whose own hash tells different values apart; every other type is hashed as its text."""


def query(table: Table) -> str:
    """The statement for one table (pure). Texts use collation C: another one may call two texts equal."""
    terms = [name if kind in DIRECT else f'{name}::text collate "C"' for name, kind in table.columns]
    row = f"hash_record_extended(row({', '.join(terms)}), 0)" if terms else "1::bigint"
    return f"select count(*), coalesce(sum({row}), 0)::text from only {table.name}"  # noqa: S608


def take(address: Address, tables: Iterable[Table], snapshot: str | None = None) -> dict[str, Fingerprint]:
    """Fingerprints of `tables`, at a held snapshot or now; one connection, one scan a table."""
    found: dict[str, Fingerprint] = {}
    if snapshot is None:
        with address.connect() as connection:
            for table in tables:
                row = run_sql(connection, query(table)).fetchone()
                assert row is not None
                found[table.name] = Fingerprint(row[0], row[1])
        return found
    with join_snapshot(address, snapshot) as connection:
        for table in tables:
            row = run_sql(connection, query(table)).fetchone()
            assert row is not None
            found[table.name] = Fingerprint(row[0], row[1])
    return found


def take_parallel(address: Address, tables: list[Table], jobs: int) -> dict[str, Fingerprint]:
    """As `take`, now, on several connections; every table is its own unit of work."""
    with ThreadPoolExecutor(jobs) as pool:
        parts = pool.map(lambda table: take(address, [table]), tables)
        return {name: value for part in parts for name, value in part.items()}


def differences(expected: dict[str, Fingerprint], actual: dict[str, Fingerprint]) -> list[str]:
    """One sentence for each table that is not the same (pure)."""
    told = []
    for name in sorted(expected.keys() | actual.keys()):
        want, have = expected.get(name), actual.get(name)
        if have is None:
            told.append(f"{name} is missing.")
        elif want is None:
            told.append(f"{name} is not in the backup.")
        elif want.rows != have.rows:
            told.append(f"{name} has {have.rows} rows, the backup has {want.rows}.")
        elif want.content != have.content:
            told.append(f"{name} has the right number of rows but other content.")
    return told
