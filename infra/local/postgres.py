"""Postgres of the local system: its data folder, its configuration, its process.

Postgres refuses uid 0 (src/backend/main/main.c, `check_root`): root starts it in a user namespace in which
the same files belong to an ordinary uid, or, where namespaces are off, with its uid dropped.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from infra.errors import OperationFailed, UserError
from infra.local import parts
from infra.local.credentials import value
from infra.local.layout import Layout, layout, write
from infra.local.programs import Program

NAMESPACE: Final = ("unshare", "-U", "--map-user=65534", "--map-group=65534")
NO_ARCHIVE: Final = "/bin/true"
"""`archive_mode` needs a restart and stays on; until recovery names a command, nothing is archived."""


PREPARE: Final = r"""
\getenv password OWNER_PASSWORD
\getenv service SERVICE_PASSWORD
select 'create role superagent login'
 where not exists (select from pg_roles where rolname = 'superagent') \gexec
alter role superagent login password :'password';
select 'create role superagent_service login'
 where not exists (select from pg_roles where rolname = 'superagent_service') \gexec
alter role superagent_service login password :'service';
select 'create database superagent owner superagent'
 where not exists (select from pg_database where datname = 'superagent') \gexec
"""
"""psql's script; passwords reach it by environment, because argument lists are public.

The owner has the schema; the service's user gets its rights from `migrate` (service/storage/rights.py).
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """How Postgres runs as an ordinary user."""

    prefix: tuple[str, ...] = ()
    user: str | None = None


def identity(place: Layout | None = None) -> Identity:
    """The way around root that works here. Raises `UserError` when none does."""
    if os.geteuid() != 0:
        return Identity()
    if _namespaces():
        return Identity(prefix=NAMESPACE)
    binary = parts.required("postgres")
    for needed in (binary, (place or layout()).root):
        if closed := [one for one in needed.parents if one.exists() and not one.stat().st_mode & 0o001]:
            raise UserError(
                f"Postgres refuses root, user namespaces are off, and only root may enter {closed[-1]}.",
                "Run as an ordinary user, or move checkout and state to a folder that all may enter.",
            )
    return Identity(user="nobody")


@cache
def _namespaces() -> bool:
    """Whether this kernel and container let root make a user namespace."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode == 0


def program(place: Layout) -> Program:
    """The server; INT is its fast shutdown, which leaves a clean database."""
    who = identity(place)
    return Program(
        name="postgres",
        command=(
            *who.prefix,
            str(parts.required("postgres")),
            "-D",
            str(data(place)),
            "-c",
            f"config_file={place.conf / 'postgresql.conf'}",
        ),
        folder=place.data,
        stop_signal="INT",
        stop_seconds=30,
        user=who.user,
    )


def data(place: Layout) -> Path:
    return place.data / "postgres"


def initialise(place: Layout) -> None:
    """Make the data folder unless it is there; it appears whole or not at all.

    The superuser `postgres` logs in with a password (SCRAM), over TCP on loopback only.
    """
    target = data(place)
    if target.exists():
        return
    fresh = place.data / ".postgres.new"
    shutil.rmtree(fresh, ignore_errors=True)
    value(place, "postgres_password")
    fresh.mkdir(mode=0o700)
    who = identity(place)
    password = place.secret("postgres_password")
    if who.user:
        account = pwd.getpwnam(who.user)
        os.chown(fresh, account.pw_uid, account.pw_gid)
        # The other uid cannot look into our secrets: it gets a copy for the length of one command.
        password = fresh.with_name(".postgres.password")
        write(password, value(place, "postgres_password"), 0o600)
        os.chown(password, account.pw_uid, account.pw_gid)
    command = [
        *who.prefix,
        str(parts.required("postgres").with_name("initdb")),
        *("-D", str(fresh), "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={password}"),
        *("--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, user=who.user)
    if who.user:
        password.unlink()
    if done.returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        raise OperationFailed(f"initdb failed: {done.stderr.strip()[-500:]}")
    os.sync()
    fresh.rename(target)


def configure(place: Layout, port: int) -> None:
    """Write `conf/postgresql.conf`; files in `conf/postgres.d/` (archiving, tuning) override it."""
    (place.conf / "postgres.d").mkdir(exist_ok=True)
    write(place.conf / "postgresql.conf", render(place, port))


def render(place: Layout, port: int) -> str:
    """The server's configuration. Encrypted when `secrets/postgres.crt` and `.key` exist."""
    values = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "hba_file": data(place) / "pg_hba.conf",
        "ident_file": data(place) / "pg_ident.conf",
        "password_encryption": "scram-sha-256",
        "max_connections": 200,
        "shared_buffers": "128MB",
        "wal_level": "replica",
        "archive_mode": "on",
        "archive_command": NO_ARCHIVE,
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "log_min_duration_statement": "500ms",
        "log_statement": "none",
    }
    certificate, key = place.secret("postgres.crt"), place.secret("postgres.key")
    if certificate.exists() and key.exists():
        values |= {"ssl": "on", "ssl_cert_file": certificate, "ssl_key_file": key}
    lines = [f"{name} = '{_escaped(str(text))}'\n" for name, text in values.items()]
    return "".join(lines) + f"include_dir = '{_escaped(str(place.conf / 'postgres.d'))}'\n"


def prepare(place: Layout, port: int) -> None:
    """Make the two roles and the database unless they are there; the server must accept connections."""
    done = subprocess.run(
        [
            parts.required("postgres").with_name("psql"),
            *("-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(port)),
            *("-U", "postgres", "-d", "postgres"),
        ],
        input=PREPARE,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PGPASSWORD": value(place, "postgres_password"),
            "OWNER_PASSWORD": value(place, "database_password"),
            "SERVICE_PASSWORD": value(place, "service_password"),
        },
        timeout=60,
    )
    if done.returncode:
        raise OperationFailed(f"Postgres refused to prepare the database: {done.stderr.strip()[-300:]}")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "''")
