"""The rehearsal: restore the newest backup where nothing is cached, prove it, measure it, sign the report.

The work is done by a fresh process in an empty folder with an environment of its own. It is given what
a stranger has after a disaster: the bucket's name and the right to read it.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import psycopg

from infra.errors import OperationFailed, UserError
from infra.home import CHECKOUT, version
from infra.local.children import end_with_parent
from infra.recovery import catalog, restore, scratch, smoke, workspace
from infra.recovery.manifest import Manifest
from infra.recovery.ports import free_port
from infra.recovery.report import Check, Report, document
from infra.recovery.store import Store
from infra.recovery.tools import valkey_server
from infra.stack.environment import client_config

KEPT = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
"""Of the caller's environment, what the clean process gets; AWS settings come on top."""
RUNS = "the drill runs to its end"
LONGEST_SECONDS = 5 * 3600.0
"""Before whoever started it (infra/stack/schedule.py, .github/workflows/drill.yml) loses patience and ends
this process too: then nobody would write the report of a drill that hangs."""


def in_clean_process(job: dict[str, Any], seconds: float = LONGEST_SECONDS) -> dict[str, Any]:
    """Run `job` in a process that shares nothing with this one but the bucket; its report as a document.

    Raises `UserError` when there is no such backup. A process that dies or hangs is a failed drill.
    """
    began = datetime.now(UTC)
    with workspace.folder("clean") as folder:
        environment = {key: text for key, text in os.environ.items() if key in KEPT or key.startswith("AWS_")}
        try:
            done = subprocess.run(
                [sys.executable, "-m", "infra.recovery.drill"],
                input=json.dumps(job),
                cwd=CHECKOUT,
                env={**environment, "SUPERAGENT_HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
                stdout=subprocess.PIPE,
                text=True,
                timeout=seconds,
                check=False,
                preexec_fn=end_with_parent,
            )
        except subprocess.TimeoutExpired:
            why = f"it did not end within {seconds:,.0f} s"
            return document(unfinished(job["environment"], job["backup"], began, why))
    lines = done.stdout.splitlines()
    if done.returncode == UserError.exit_code and lines:
        raise UserError(**json.loads(lines[-1]))
    if done.returncode or not lines:
        why = f"its process ended with status {done.returncode}; what it said stands in the log of the drill"
        return document(unfinished(job["environment"], job["backup"], began, why))
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def unfinished(environment: str, which: str, began: datetime, why: str) -> Report:
    """A drill that came to no restored data: it failed, and measured nothing."""
    return Report(
        environment=environment,
        backup=which,
        snapshot_at="",
        started_at=began.isoformat(),
        rpo_seconds=None,
        rto_seconds=None,
        restore_seconds=0.0,
        rows=0,
        bytes=0,
        machine=_machine(),
        tool_version=version(),
        checks=[Check(RUNS, False, why)],
    )


def _machine() -> str:
    return f"{platform.node()} ({platform.system()} {platform.machine()})"


def rehearse(store: Store, kms: Any, environment: str, which: str = "latest") -> Report:
    """Restore into a server of its own, compare, start a service on it. Raises `UserError`: no backup."""
    began, started = datetime.now(UTC), time.monotonic()
    try:
        manifest = catalog.resolve(store, "postgres", which)
    except OperationFailed as failed:
        return unfinished(environment, which, began, failed.message)
    moment = datetime.fromisoformat(manifest.source.get("as_of", manifest.snapshot_at))
    report = Report(
        environment=environment,
        backup=manifest.id,
        snapshot_at=moment.isoformat(),
        started_at=began.isoformat(),
        rpo_seconds=round((began - moment).total_seconds(), 1),
        rto_seconds=None,
        restore_seconds=0.0,
        rows=manifest.rows,
        bytes=manifest.size,
        machine=_machine(),
        tool_version=version(),
    )
    try:
        _work(store, kms, manifest, report, started)
    except (OperationFailed, UserError) as failed:
        # A key that may not be used or a program that is missing: no restore either way.
        report.checks.append(Check(RUNS, False, failed.message))
    else:
        report.rto_seconds = round(time.monotonic() - started, 1)
    return report


def _work(store: Store, kms: Any, manifest: Manifest, report: Report, started: float) -> None:
    with scratch.server_of(int(manifest.source["postgres_major"])) as server:
        done = restore.run(store, manifest, server, "drill", kms, remember=False)
        report.restore_seconds = round(time.monotonic() - started, 1)
        report.checks.append(
            Check(f"rows and {done.compared} equal the backup", not done.differences, f"{done.rows:,} rows")
        )
        database = server.database("drill")
        report.checks.append(_integrity(database))
        with _valkey() as url:
            report.checks += smoke.test_service(database, url)


def _integrity(database: Any) -> Check:
    """Every index is read against its table (amcheck), every constraint is valid."""
    try:
        with database.connect() as connection:
            connection.execute("create extension if not exists amcheck")
            checked = connection.execute(
                "select count(*) from (select bt_index_check(c.oid, true) from pg_index i"
                " join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam"
                " join pg_namespace n on n.oid = c.relnamespace where m.amname = 'btree' and i.indisvalid"
                " and c.relkind = 'i' and n.nspname !~ '^pg_') checked"
            ).fetchone()
            connection.execute("drop extension amcheck")
            invalid = connection.execute(
                "select count(*) from pg_constraint where not convalidated"
            ).fetchone()
    except psycopg.Error as failed:
        return Check("indexes and constraints are sound", False, str(failed).splitlines()[0])
    broken = int(invalid[0]) if invalid else 0
    told = f"{checked[0] if checked else 0} indexes, {broken} constraints not validated"
    return Check("indexes and constraints are sound", broken == 0, told)


@contextmanager
def _valkey() -> Iterator[str]:
    port = free_port()
    command = [
        valkey_server(),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=end_with_parent
    )
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    """The clean process: a job on stdin, a report on stdout."""
    job = json.load(sys.stdin)
    local = "local" if job["endpoint"] else None
    session = boto3.Session(aws_access_key_id=local, aws_secret_access_key=local, region_name=job["region"])
    make: Any = session.client
    s3, kms = (
        make(name, endpoint_url=job["endpoint"], config=client_config(job["endpoint"]))
        for name in ("s3", "kms")
    )
    store = Store(s3, job["bucket"], need_kms=job["endpoint"] is None)
    try:
        report = rehearse(store, kms, job["environment"], job["backup"])
    except UserError as wrong:
        sys.stdout.write(json.dumps({"what": wrong.what, "fix": wrong.fix}) + "\n")
        sys.exit(wrong.exit_code)
    sys.stdout.write(json.dumps(document(report)) + "\n")


def folder_of(home: Path) -> Path:
    """Where reports of drills lie on this machine."""
    return home / "recovery" / "drills"


if __name__ == "__main__":
    main()
