"""Logins that change while the service runs: no request fails, no restart; tokens as AWS wants them."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import asyncpg
import boto3
import botocore.auth
import httpx
import psycopg
import pytest

from service.settings import SettingsError, load
from service.storage.database import REFUSED, Database, StoreUnavailable
from service.storage.login import Login, UrlLogins, connect
from service.storage.rds_login import NoCredentials, RdsLogins
from service.storage.redis_link import Address, RedisLink
from service.storage.rights import grant
from tests.service.running import prepare, running
from tests.service.stores import Postgres, Valkey

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that asks for passwords."""
    store = Postgres()
    try:
        store.ask_for_passwords()
        store.start()
        yield store
    finally:
        store.remove()


class User:
    """The service's user on a server that wants passwords, and the file that says how to log in."""

    def __init__(self, server: Postgres, folder: Path, name: str) -> None:
        self.admin, self.name, self.file = server.url, name, folder / "database_url"
        self.write("first")

    def url(self, password: str) -> str:
        return self.admin.replace("//postgres@", f"//{self.name}:{password}@")

    def write(self, password: str) -> None:
        self.file.write_text(self.url(password))

    def alter(self, password: str) -> None:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(f"alter role {self.name} password '{password}'")  # type: ignore[call-overload]

    def hang_up(self) -> None:
        """End every session of the user, as a failover does: what comes next has to log in."""
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", [self.name]
            )


@pytest.fixture
async def user(server: Postgres, tmp_path: Path) -> AsyncIterator[User]:
    one = User(server, tmp_path, "svc_" + tmp_path.name.replace("-", "_")[-20:].lower())
    yield one


@contextlib.contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The passwords with which connections were made."""
    used: list[str] = []
    real = asyncpg.connect

    async def noted(*arguments: Any, **options: Any) -> Any:
        made = await real(*arguments, **options)
        used.append(options["password"])
        return made

    with monkeypatch.context() as patched:
        patched.setattr(asyncpg, "connect", noted)
        yield used


@pytest.mark.parametrize("first", ["file", "server"])
async def test_a_password_changes_under_load_and_no_request_fails(
    user: User, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = prepare(user.admin, "chat", "read")
    await grant(user.admin, user.url("first"), iam=False)
    # A machine that is busy with other tests answers late; how late is not what is asked here.
    monkeypatch.setattr(Database.__init__, "__defaults__", (4, 30.0, None))
    steps: list[Callable[[str], None]] = [user.write, user.alter]
    with counted(monkeypatch) as used:
        async with running("", DATABASE_URL_FILE=str(user.file), AUTH_FRESH_SECONDS="0.001") as service:
            refused: list[str] = []
            answered = 0
            done = asyncio.Event()

            async def load_it() -> None:
                nonlocal answered
                headers = {"authorization": f"Bearer {key}"}
                async with httpx.AsyncClient(base_url=service.url, headers=headers) as client:
                    while not done.is_set():
                        answer = await client.get("/v1/usage")
                        answered += 1
                        refused.extend([answer.text] if answer.status_code != 200 else [])

            async def until_more(than: int) -> None:
                while answered < than + 20 and not refused:
                    await asyncio.sleep(0.005)

            clients = [asyncio.create_task(load_it()) for _ in range(4)]
            await until_more(0)
            for password in ("second", "third"):
                for step in steps if first == "file" else reversed(steps):
                    await asyncio.to_thread(step, password)
                    await service.service.database._pool.expire_connections()  # type: ignore[union-attr]
                    if first == "file":  # the other way round new connections wait for the second step
                        await until_more(answered)
                await until_more(answered)
            done.set()
            await asyncio.gather(*clients)
    assert refused == [], (service.service.database.reason, used)
    assert used[-1] == "third"
    assert {"first", "second", "third"} <= set(used)


async def test_a_changed_password_is_followed_when_every_session_is_lost(user: User) -> None:
    prepare(user.admin)
    await grant(user.admin, user.url("first"), iam=False)
    database = Database(user.url("first"), timeout=30, logins=UrlLogins(user.file.read_text))
    await database.start()
    try:
        assert database.available
        user.alter("other")
        user.write("other")
        user.hang_up()
        with contextlib.suppress(StoreUnavailable):  # the pool may hand out a session that just ended
            await database.fetch("select 1")
        assert await database.fetch("select current_user") == [(user.name,)]
    finally:
        await database.close()


async def test_a_wrong_password_is_told_soon_and_as_such(user: User) -> None:
    prepare(user.admin)
    await grant(user.admin, user.url("first"), iam=False)
    database = Database(user.url("wrong"), timeout=30, logins=UrlLogins(lambda: user.url("wrong")))
    await database.start()
    try:
        assert database.reason == REFUSED
    finally:
        await database.close()


async def test_another_server_in_the_file_waits_for_a_restart() -> None:
    urls = [
        "postgresql://a:1@one/x",
        "postgresql://b:2@one/x",
        "postgresql://c:3@two/x",
        "postgresql://d:4@one/y",
    ]
    logins = UrlLogins(lambda: urls[0])
    for seen in (["a"], ["b", "a"]):
        offers = list(await logins.offers())
        assert [one.user for one in offers] == seen
        logins.worked(offers[0])
        urls.pop(0)
    assert list(await logins.offers()) == [Login("b", "2")]
    urls.pop(0)
    assert list(await logins.offers()) == [Login("b", "2")]


async def test_half_a_file_is_no_reason_to_lose_the_login_that_worked() -> None:
    url = "postgresql://me:secret@h:5432/x"
    logins = UrlLogins(lambda: url)
    logins.worked(Login("me", "secret"))
    for end in range(len(url)):  # whoever writes it may be at any place
        whole, url = url, url[:end]
        assert Login("me", "secret") in await logins.offers(), url
        url = whole


def test_a_login_never_shows_its_password() -> None:
    assert "hunter2" not in repr(Login("me", "hunter2"))


@pytest.mark.parametrize("token", [None, "session/token+="])
def test_a_token_is_what_botocore_itself_would_sign(
    token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.datetime(2026, 12, 1, 12, tzinfo=datetime.UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_: now.replace(tzinfo=None))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    if token:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    host, user = "db.abc.eu-central-1.rds.amazonaws.com", "superagent_prod_service"
    ours = RdsLogins(f"postgresql://{user}@{host}:5432/superagent", "eu-central-1").token()
    client: Any = boto3.Session().client("rds", region_name="eu-central-1")  # type: ignore[call-overload,unused-ignore]
    assert ours == client.generate_db_auth_token(host, 5432, user)
    assert ours.startswith(f"{host}:5432/?Action=connect&DBUser={user}&X-Amz-Algorithm=AWS4-HMAC-SHA256")
    assert "X-Amz-Expires=900" in ours
    assert "rds-db" in ours


async def test_every_connection_gets_a_token_of_its_own_and_no_credentials_is_an_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[dict[str, Any]] = []

    async def refuse(*_: Any, **options: Any) -> None:
        tries.append(options)
        if len(tries) > 1:
            raise ConnectionRefusedError
        raise asyncpg.InvalidPasswordError("PAM authentication failed")

    tokens = iter(["one", "two"])
    logins = RdsLogins("postgresql://me@host/x", "eu-central-1")
    monkeypatch.setattr(asyncpg, "connect", refuse)
    monkeypatch.setattr(logins, "token", lambda: next(tokens))
    with pytest.raises(ConnectionRefusedError):
        await connect(logins, "dsn", timeout=3)
    assert tries == [{"user": "me", "password": word, "timeout": 3} for word in ("one", "two")]
    nobody = RdsLogins("postgresql://me@host/x", "eu-central-1")
    session = SimpleNamespace(get_credentials=lambda: None)
    monkeypatch.setattr("service.storage.rds_login.get_session", lambda: session)
    with pytest.raises(NoCredentials):
        await nobody.offers()


BASE = {
    "SUPERAGENT_DATABASE_URL": "postgresql://me@h/x?sslmode=verify-full",
    "SUPERAGENT_DATABASE_IAM_REGION": "eu-central-1",
}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"SUPERAGENT_DATABASE_URL": "postgresql://me:pw@h/x?sslmode=require"}, "no password"),
        ({"SUPERAGENT_DATABASE_URL": "postgresql://h/x?sslmode=require"}, "must name a user"),
        ({"SUPERAGENT_DATABASE_URL": "postgresql://me@h/x"}, "add sslmode=verify-full"),
        ({"SUPERAGENT_REPLICA_URL": "postgresql://me@r/x"}, "add sslmode=verify-full"),
        ({"SUPERAGENT_REPLICA_URL": "postgresql://r/x?sslmode=require"}, "must name a user"),
        ({"SUPERAGENT_DATABASE_IAM_REGION": "Frankfurt"}, "SUPERAGENT_DATABASE_IAM_REGION"),
    ],
)
def test_tokens_are_refused_where_they_cannot_work_or_would_travel_in_the_clear(
    change: dict[str, str], told: str
) -> None:
    assert load(BASE).database_iam_region == "eu-central-1"
    with pytest.raises(SettingsError, match=told) as caught:
        load({**BASE, **change})
    assert "pw" not in str(caught.value)


async def test_a_rotated_cache_token_is_used_when_the_link_connects_again(tmp_path: Path) -> None:
    store, file = Valkey(), tmp_path / "redis_url"

    def url(token: str) -> str:
        return store.url.replace("//", f"//:{token}@")

    store.start("--requirepass", "first")
    file.write_text(url("first"))
    link = RedisLink(Address(url("first"), lambda: file.read_text()), timeout=1.0)
    lost = asyncio.Event()
    link.on_change.append(lambda up: None if up else lost.set())
    await link.start()
    try:
        assert await link.call("PING") == b"PONG"
        await link.call("CONFIG", "SET", "requirepass", "second")
        assert await link.call("PING") == b"PONG", "an open connection stays"
        with contextlib.suppress(StoreUnavailable):
            await link.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
        await asyncio.wait_for(lost.wait(), 10)
        file.write_text(url("second"))
        async with asyncio.timeout(10):
            while not link.available:
                await asyncio.sleep(0.01)
        assert await link.call("PING") == b"PONG"
    finally:
        await link.close()
        store.kill()


def test_a_file_is_followed_and_one_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("redis://:one@h:1/0")
    settings = load({"SUPERAGENT_DATABASE_URL": "postgresql://h/x", "SUPERAGENT_REDIS_URL_FILE": str(file)})
    follow = settings.follow("redis_url")
    address = Address(follow(), follow)
    other = address.at("node", 2)
    file.write_text("redis://:two@h:1/0\n")
    assert address.handshake() == other.handshake() == [("AUTH", "two")]
    file.write_text("")
    assert address.handshake() == [("AUTH", "two")]
    file.unlink()
    assert address.handshake() == [("AUTH", "two")]
    file.write_text("redis://:three@elsewhere:1/0")
    assert cast(Any, address.handshake()) == [("AUTH", "one")]
    assert settings.follow("database_url")() == "postgresql://h/x"
