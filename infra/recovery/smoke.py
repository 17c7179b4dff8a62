"""A service process on restored data: does it start, does it find its keys, does it write."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

from infra.errors import OperationFailed
from infra.home import CHECKOUT
from infra.local.children import end_with_parent
from infra.local.credentials import SERVICE
from infra.local.layout import write
from infra.recovery import workspace
from infra.recovery.database import Address
from infra.recovery.ports import free_port
from infra.recovery.report import Check

READY_SECONDS = 60.0


def test_service(database: Address, redis_url: str) -> list[Check]:
    """Migrate, start the service, make a key, ask a question, find its usage row. One check each.

    The service comes as a user of its own, as everywhere: a restored database must let it in.
    """
    with workspace.folder("smoke") as folder:
        service = database.with_parts(user=SERVICE, password=secrets.token_hex(16))
        write(folder / "database_url", service.url(), 0o600)
        write(folder / "database_owner_url", database.url(), 0o600)
        write(folder / "redis_url", redis_url, 0o600)
        port = free_port()
        environment = {
            **{key: text for key, text in os.environ.items() if not key.startswith("SUPERAGENT_")},
            "SUPERAGENT_DATABASE_URL_FILE": str(folder / "database_url"),
            "SUPERAGENT_REDIS_URL_FILE": str(folder / "redis_url"),
            "SUPERAGENT_ENVIRONMENT": "drill",
            "SUPERAGENT_HOST": "127.0.0.1",
            "SUPERAGENT_PORT": str(port),
            "SUPERAGENT_METRICS_PORT": str(free_port()),
            "SUPERAGENT_JOURNAL_DIR": str(folder / "journal"),
        }
        (folder / "journal").mkdir()
        return _checks(database, environment, port, folder)


def _checks(database: Address, environment: dict[str, str], port: int, folder: Path) -> list[Check]:
    checks: list[Check] = []
    owner = {"SUPERAGENT_DATABASE_OWNER_URL_FILE": str(folder / "database_owner_url")}
    migrated = _service({**environment, **owner}, "migrate")
    checks.append(Check("schema is up to date", migrated.returncode == 0, _last(migrated)))
    made = _service(environment, "create-key", "--name", "drill", "--permission", "admin")
    checks.append(Check("a key can be made", made.returncode == 0, _last(made) if made.returncode else ""))
    if not all(check.passed for check in checks):
        return checks
    key = json.loads(made.stdout)["key"]
    log = folder / "log"
    with log.open("wb") as words:
        process = subprocess.Popen(
            [sys.executable, "-m", "service"],
            cwd=CHECKOUT, env=environment, stdout=words, stderr=words, preexec_fn=end_with_parent,
        )  # fmt: skip
    try:
        started = time.monotonic()
        trouble = _until_ready(process, port)
        checks.append(
            Check("the service is ready", not trouble, trouble or f"{time.monotonic() - started:.1f} s")
        )
        if not trouble:
            checks.append(_question(port, key))
            checks.append(_usage_row(database))
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return checks


def _service(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", *words],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=120, check=False,
        preexec_fn=end_with_parent,
    )  # fmt: skip


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1][:200] if lines and done.returncode else ""


def _until_ready(process: subprocess.Popen[bytes], port: int) -> str:
    deadline = time.monotonic() + READY_SECONDS
    trouble = "no answer"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return f"it ended with {process.returncode}"
        try:
            status, body = _request(port, "GET", "/health/ready")
        except (OSError, http.client.HTTPException) as failed:
            trouble = str(failed)
        else:
            if status == 200:
                return ""
            trouble = f"HTTP {status} {body[:200]}"
        time.sleep(0.05)
    return trouble


def _request(
    port: int, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def _question(port: int, key: str) -> Check:
    body = json.dumps({"model": "echo", "messages": [{"role": "user", "content": "drill"}]})
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        status, answer = _request(port, "POST", "/v1/chat/completions", body, headers)
    except (OSError, http.client.HTTPException) as failed:
        return Check("a question is answered", False, str(failed))
    return Check(
        "a question is answered", status == 200, "" if status == 200 else f"HTTP {status} {answer[:200]}"
    )


def _usage_row(database: Address) -> Check:
    """The service writes usage after the answer, in batches: wait for it."""
    deadline = time.monotonic() + 20
    count = 0
    while not count and time.monotonic() < deadline:
        try:
            with database.connect() as connection:
                row = connection.execute(
                    "select count(*) from usage u join api_keys k on k.id = u.key_id where k.name = 'drill'"
                ).fetchone()
                count = int(row[0]) if row else 0
        except OperationFailed as failed:
            return Check("its usage is written", False, failed.message)
        if not count:
            time.sleep(0.1)
    return Check("its usage is written", count == 1, f"{count} rows")
