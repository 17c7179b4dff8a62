"""Which archives a dump is made of (pure): large tables alone, small ones together, one snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from infra.recovery.database import Table

ALONE: Final = 64 << 20
"""Bytes from which a table gets an archive of its own; below, the start of pg_dump would dominate."""
GROUPS: Final = 2
"""Archives over which the small tables are spread, so that two workers share them."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One `pg_dump` run."""

    name: str
    role: Literal["schema", "data", "rest"]
    tables: tuple[str, ...]
    size: int
    """Bytes on disk of its tables: what the order of work is decided by."""


def pieces(tables: list[Table]) -> list[Piece]:
    """The runs, largest first, so that two workers finish close together.

    `schema` holds definitions; `rest` holds what belongs to no table: sequences and large objects.
    """
    large = [table for table in tables if table.size >= ALONE]
    small = sorted((t for t in tables if t.size < ALONE), key=lambda t: (-t.size, t.name))
    groups: list[list[Table]] = [[] for _ in range(min(GROUPS, len(small)))]
    for table in small:
        min(groups, key=lambda group: sum(t.size for t in group)).append(table)
    bodies = [[table] for table in large] + groups
    data = sorted(bodies, key=lambda body: -sum(t.size for t in body))
    made = [
        Piece(f"data-{n:04d}", "data", tuple(t.name for t in body), sum(t.size for t in body))
        for n, body in enumerate(data)
    ]
    names = tuple(table.name for table in tables)
    return [Piece("schema", "schema", (), 0), *made, Piece("rest", "rest", names, 0)]


def dump_arguments(piece: Piece, snapshot: str, level: int) -> list[str]:
    """Arguments of pg_dump for one piece; the database comes from the environment."""
    common = [
        "--format=custom",
        f"--compress=zstd:level={level}",
        f"--snapshot={snapshot}",
        "--lock-wait-timeout=60s",
        "--no-password",
    ]
    if piece.role == "schema":
        return [*common, "--section=pre-data", "--section=post-data"]
    if piece.role == "rest":
        return [*common, "--section=data", *(f"--exclude-table-data={name}" for name in piece.tables)]
    return [*common, "--section=data", *(f"--table={name}" for name in piece.tables)]
