"""What changed in Postgres is forgotten here, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from service.auth import revocations as module
from service.auth.authenticator import Authenticator
from service.auth.credentials import AllCredentials
from service.auth.keys import KeyStore
from service.auth.revocations import Revocations
from service.auth.sessions import TokenStore
from service.auth.tokens import TokenSigner
from service.storage.database import Database
from service.storage.migrate import migrate

pytestmark = pytest.mark.component

Parts = tuple[KeyStore, Authenticator, Revocations]


@pytest_asyncio.fixture
async def parts(database_url: str) -> AsyncIterator[Parts]:
    migrate(database_url)
    database = Database(database_url, size=2)
    await database.start()
    store = KeyStore(database)
    signer = TokenSigner([], "superagent", "superagent")
    auth = Authenticator(AllCredentials(store, signer, TokenStore(database, signer), None), 60, 3600)
    revocations = Revocations(database, None, None, auth.forget)
    await revocations.catch_up()  # from here on it looks
    yield store, auth, revocations
    await database.close()


async def test_a_key_that_was_verified_after_it_was_made_stays_known(parts: Parts) -> None:
    """Each node looks for changes when it loses Redis: were its keys forgotten then, a loss of Postgres a
    moment later would refuse everybody whose key is newer than the process.
    """
    store, auth, revocations = parts
    key = (await store.create("new", ["chat"]))[0].encode()
    await auth.verify(key)
    await revocations.catch_up()
    assert auth.remembered(key) is not None


async def test_a_key_that_was_revoked_or_rotated_meanwhile_is_forgotten(parts: Parts) -> None:
    store, auth, revocations = parts
    gone, first = await store.create("gone", ["chat"])
    turned, second = await store.create("turned", ["chat"])
    for key in (gone, turned):
        await auth.verify(key.encode())
    await store.revoke(first["id"])
    await store.rotate(second["id"], 60)
    await revocations.catch_up()
    assert auth.remembered(gone.encode()) is None
    assert auth.remembered(turned.encode()) is None
    await auth.verify(turned.encode())  # it works on for its overlap, and is known again from now on
    await revocations.catch_up()
    assert auth.remembered(turned.encode()) is not None


class Channel:
    """Redis is there, and nobody says a word."""

    connected = True

    def start(self) -> None: ...

    async def close(self) -> None: ...


async def test_a_key_is_forgotten_though_whoever_ended_it_could_not_say_so(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, auth, revocations = parts
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(module, "HEARING_SECONDS", 0.02)
    monkeypatch.setattr(revocations, "_channel", Channel())
    key, row = await store.create("gone", ["chat"])
    await auth.verify(key.encode())
    await revocations.start()
    try:
        await store.revoke(row["id"])
        async with asyncio.timeout(10):
            while auth.remembered(key.encode()) is not None:
                await asyncio.sleep(0.01)
    finally:
        await revocations.close()
