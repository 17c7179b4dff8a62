"""Debates of another version of the service, which this one cannot read: blue and green share them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from service.auth.permissions import Limits, Principal
from service.debates.spec import Debater, Said, Spec
from service.debates.store import UNREAD, Store
from service.storage.database import Database
from tests.service.running import ready

pytestmark = pytest.mark.component

SPEC = Spec(
    messages=(Said("user", "Is water wet?"),),
    debaters=(Debater("p1", "Ada", "", ("m",)), Debater("p2", "Bob", "", ("m",))),
    rounds=1, style="delphi", threshold=0.8, budget_usd=None, deadline_seconds=300.0, turn_seconds=60.0,
    max_tokens=10, temperature=None,
)  # fmt: skip


@pytest_asyncio.fixture
async def store(database_url: str) -> AsyncIterator[tuple[Store, asyncpg.Connection]]:
    ready(database_url)
    database = Database(database_url)
    await database.start()
    connection = await asyncpg.connect(database_url)
    try:
        yield Store(database, per_key=10, total=10, lease_seconds=30.0), connection
    finally:
        await connection.close()
        await database.close()


def principal(account: str) -> Principal:
    return Principal(
        id=account, account=account, name="", kind="key", permissions=frozenset({"debate"}), limits=Limits()
    )


async def begun(store: Store, identity: str) -> None:
    await store.create(identity, SPEC, principal("key_1"), None)


async def strange(connection: asyncpg.Connection, identity: str) -> None:
    await connection.execute(
        "update debates set spec = jsonb_set(spec, '{style}', '\"telepathy\"') where id = $1", identity
    )


async def test_one_that_cannot_be_read_holds_up_no_other(
    store: tuple[Store, asyncpg.Connection],
) -> None:
    debates, connection = store
    await begun(debates, "deb_strange")
    await begun(debates, "deb_plain")
    await strange(connection, "deb_strange")
    assert [one.lease.debate for one in await debates.claim("node", 5)] == ["deb_plain"]
    assert await debates.status("deb_strange") == "running"  # a newer node may go on with it


async def test_one_that_nobody_could_read_ends_some_time_after_its_deadline(
    store: tuple[Store, asyncpg.Connection],
) -> None:
    """It counts among the open ones of its account for as long as it runs."""
    debates, connection = store
    await begun(debates, "deb_strange")
    await strange(connection, "deb_strange")
    await connection.execute("update debates set deadline = now() - interval '1 hour'")
    assert await debates.claim("node", 5) == []
    assert await debates.status("deb_strange") == "failed"
    error = await connection.fetchval("select result ->> 'error' from debates where id = 'deb_strange'")
    assert error == UNREAD
