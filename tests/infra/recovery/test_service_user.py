"""The service's own database user on the way back: a restored database knows it, with its rights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from infra.errors import OperationFailed
from infra.home import CHECKOUT
from infra.recovery import restore, scratch
from infra.recovery.database import Address
from tests.infra.recovery.conftest import Cloud, back_up

pytestmark = pytest.mark.component


@pytest.fixture
def shared(database_url: str, tmp_path: Path) -> Address:
    """A database as `migrate` leaves it: one user owns it, another works in it."""
    (tmp_path / "owner").write_text(database_url)
    (tmp_path / "service").write_text(database_url.replace("//postgres@", "//svc_backed:secret@"))
    files = {"DATABASE_URL_FILE": "service", "DATABASE_OWNER_URL_FILE": "owner"}
    subprocess.run(
        [sys.executable, "-m", "service", "migrate"],
        cwd=CHECKOUT,
        env={**os.environ, **{f"SUPERAGENT_{name}": str(tmp_path / file) for name, file in files.items()}},
        check=True,
        capture_output=True,
    )
    return Address.parse(database_url)


def test_a_restored_database_knows_the_service_and_what_it_may_do(cloud: Cloud, shared: Address) -> None:
    made = back_up(cloud, shared)
    assert "svc_backed" in made.source["roles"]
    with scratch.server_of(int(made.source["postgres_major"])) as server:
        name = restore.run(cloud.store, made, server, "restored", cloud.kms, remember=False).database
        with server.database(name).connect() as connection:
            known = connection.execute("select rolcanlogin from pg_roles where rolname = 'svc_backed'")
            assert known.fetchone() == (False,)  # passwords are in no backup: `migrate` lets it in again
            connection.execute("set role svc_backed")
            connection.execute("select 1 from api_keys")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("delete from audit_events")


def test_the_service_itself_can_make_no_backup(cloud: Cloud, shared: Address) -> None:
    with pytest.raises((OperationFailed, psycopg.errors.InsufficientPrivilege)):
        back_up(cloud, shared.with_parts(user="svc_backed", password="secret"))
