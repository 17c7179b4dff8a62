"""What the service's own database user may and may not do. (All service tests run as that user.)"""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from service.storage.migrate import migrate
from service.storage.rights import RIGHTS, GrantFailed, grant, verifier
from tests.service.running import as_service, ready

pytestmark = pytest.mark.component


def test_every_table_of_the_schema_has_a_line(database_url: str) -> None:
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        found = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
    assert {row[0] for row in found} == set(RIGHTS)


@pytest.mark.parametrize(
    "statement",
    [
        "delete from audit_events",
        "update audit_events set actor = 'nobody'",
        "update usage set cost_usd = 0",
        "delete from usage",
        "delete from api_keys",
        "truncate debates",
        "create table mine (x int)",
        "alter table usage add column x int",
        "drop table usage",
        "delete from schema_migrations",
        "create role other",
        "copy usage to program 'true'",
    ],
)
def test_what_the_service_has_no_need_for_is_refused(database_url: str, statement: str) -> None:
    ready(database_url)
    with (
        psycopg.connect(as_service(database_url)) as connection,
        pytest.raises((psycopg.errors.InsufficientPrivilege,)),
    ):
        connection.execute(statement)  # type: ignore[call-overload]


def test_migrations_and_grants_may_be_repeated_and_change_the_password(database_url: str) -> None:
    migrate(database_url)
    for password in ("one", "two", "two"):
        url = database_url.replace("//postgres@", f"//svc_repeat:{password}@")
        assert asyncio.run(grant(database_url, url, iam=False)) == "svc_repeat"
    with psycopg.connect(database_url) as connection:
        kept = connection.execute("select rolpassword from pg_authid where rolname = 'svc_repeat'").fetchone()
    assert kept is not None
    iterations, salt = kept[0].split("$")[1].split(":")
    assert (iterations, len(salt)) == ("4096", 24)


def test_an_owner_that_may_make_no_roles_equips_one_that_is_there(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute("drop role if exists plain_owner")
        connection.execute("create role plain_owner login")
        connection.execute(f"alter database {name} owner to plain_owner")  # type: ignore[call-overload]
    owner = database_url.replace("//postgres@", "//plain_owner@")
    migrate(owner)
    with pytest.raises(GrantFailed, match="user nobody_yet cannot be prepared: permission denied"):
        asyncio.run(grant(owner, owner.replace("plain_owner", "nobody_yet"), iam=False))
    ready(database_url)
    asyncio.run(grant(owner, as_service(database_url), iam=False))
    with psycopg.connect(as_service(database_url)) as connection:
        connection.execute("select 1 from usage")


def test_one_user_for_all_needs_no_grants(database_url: str) -> None:
    assert asyncio.run(grant(database_url, database_url, iam=False)) == "postgres"


def test_tokens_need_the_role_that_rds_brings(database_url: str) -> None:
    migrate(database_url)
    url = database_url.replace("//postgres@", "//svc_iam@")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("drop role if exists rds_iam")
    with pytest.raises(GrantFailed, match='role "rds_iam" does not exist'):
        asyncio.run(grant(database_url, url, iam=True))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create role rds_iam")
    asyncio.run(grant(database_url, url, iam=True))
    with psycopg.connect(database_url) as connection:
        member = connection.execute("select pg_has_role('svc_iam', 'rds_iam', 'member')").fetchone()
    assert member == (True,)


def test_nobody_reads_a_password_out_of_a_log() -> None:
    """That the server takes it is seen in test_login.py, whose users log in with one."""
    assert "hunter2" not in verifier("hunter2")
    assert verifier("a") != verifier("a")
