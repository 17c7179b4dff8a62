"""Postgres and Valkey as `up` runs them: passwords, secrets, data that survives a kill."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import psycopg
import pytest
import redis

from infra.local import credentials, health, orphans, postgres, supervision, valkey
from infra.local.layout import Layout
from infra.local.lifecycle import reset_postgres
from tests.parts import free_port, wait_until

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A state folder with both stores running."""
    place = Layout(tmp_path_factory.mktemp("stores") / "home")
    place.make()
    ports = {"postgres": free_port(), "valkey": free_port()}
    credentials.write_urls(place, ports)
    postgres.configure(place, ports["postgres"])
    valkey.configure(place, ports["valkey"])
    postgres.initialise(place)
    supervision.launch(place)
    supervision.define([postgres.program(place), valkey.program(place)], place)
    supervision.start_all(["postgres", "valkey"], place)
    for name in ports:
        wait_until(lambda name=name: not health.problem(name, place, ports), f"{name} answers")
    postgres.prepare(place, ports["postgres"])
    yield place
    supervision.stop_all(["postgres", "valkey"], place)
    supervision.shutdown(place)


def url(place: Layout, name: str) -> str:
    return place.secret(name).read_text()


def kill(place: Layout, name: str) -> None:
    before = supervision.processes(place)[name].pid
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: supervision.processes(place)[name].pid not in (0, before), f"{name} is back", 60)


def connected(place: Layout, name: str) -> psycopg.Connection:
    """Postgres may still be recovering; a refused connection is tried again."""
    found: list[psycopg.Connection] = []

    def connects() -> bool:
        try:
            found.append(psycopg.connect(url(place, name), autocommit=True, connect_timeout=5))
        except psycopg.OperationalError:
            return False
        return True

    wait_until(connects, "Postgres accepts connections", 60)
    return found[0]


def test_a_committed_row_survives_a_kill(place):
    with connected(place, "database_owner_url") as connection:
        connection.execute("create table kept as select 42 as answer")
    kill(place, "postgres")
    with connected(place, "database_owner_url") as connection:
        assert connection.execute("select answer from kept").fetchone() == (42,)


def test_an_appended_value_survives_a_kill(place):
    client = redis.Redis.from_url(url(place, "redis_url"))
    client.set("kept", "42")
    wait_until(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0, "the log is on disk")
    kill(place, "valkey")

    def kept() -> bool:
        try:
            return client.get("kept") == b"42"
        except redis.ConnectionError:
            return False

    wait_until(kept, "the value is there again")


def test_the_owner_migrates_the_service_has_rows_alone_and_neither_is_a_superuser(place):
    who = "select current_user, usesuper from pg_user where usename = current_user"
    with connected(place, "database_owner_url") as connection:
        assert connection.execute(who).fetchone() == ("superagent", False)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("create role another")
    with connected(place, "database_url") as connection:
        assert connection.execute(who).fetchone() == ("superagent_service", False)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("create table mine (x int)")


def test_a_wrong_password_is_refused_by_both(place):
    wrong = url(place, "database_url").replace(credentials.value(place, "service_password"), "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)
    wrong = url(place, "redis_url").replace(credentials.value(place, "redis_password"), "wrong")
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(wrong).ping()


def test_secrets_are_readable_by_this_user_alone_and_in_no_argument_list(place):
    secrets = [path for path in place.secrets.iterdir() if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    assert stat.S_IMODE(place.secrets.stat().st_mode) == 0o700
    assert stat.S_IMODE((place.conf / "valkey.conf").stat().st_mode) == 0o600
    passwords = [credentials.value(place, f"{name}_password") for name in ("database", "postgres", "redis")]
    for process in supervision.processes(place).values():
        for file in ("cmdline", "environ"):
            text = Path(f"/proc/{process.pid}/{file}").read_text(errors="replace")
            assert not any(password in text for password in passwords), process.name
    for log in place.logs.iterdir():
        assert not any(password in log.read_text() for password in passwords), log


def test_both_can_be_found_without_the_supervisor(place):
    """A process title written over the environment would hide them."""
    pids = {one.pid for one in supervision.processes(place).values()}
    assert pids <= set(orphans.find(place))


def test_new_ports_change_the_urls_but_not_the_database_of_a_cutover(place, tmp_path):
    other = Layout(tmp_path / "other")
    other.make()
    credentials.write_urls(other, {"postgres": 1, "valkey": 2})
    path = other.secret("database_url")
    path.write_text(path.read_text().replace("/superagent", "/restored"))
    credentials.write_urls(other, {"postgres": 3, "valkey": 4})
    assert path.read_text().endswith("@127.0.0.1:3/restored")


def test_a_reset_leaves_an_empty_server_with_the_same_passwords(place):
    supervision.stop("postgres", place)
    reset_postgres(place)
    supervision.start("postgres", place)
    with connected(place, "database_admin_url") as connection:
        assert connection.execute("select 1 from pg_database where datname = 'superagent'").fetchone() is None
        port = int(connection.execute("show port").fetchone()[0])
    postgres.prepare(place, port)


def test_own_settings_override_the_generated_ones(place):
    (place.conf / "postgres.d" / "archive.conf").write_text("archive_command = '/bin/true own'\n")
    with connected(place, "database_admin_url") as connection:
        connection.execute("select pg_reload_conf()")
        wait_until(
            lambda: connection.execute("show archive_command").fetchone() == ("/bin/true own",),
            "the server has read it",
        )
