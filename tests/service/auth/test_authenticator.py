"""Verified once, remembered, bounded, and never wrong about a key because a store is away."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from service.auth import authenticator as module
from service.auth.authenticator import Authenticator
from service.auth.credentials import NotAuthenticated, Verified
from service.auth.keys import new_key
from service.auth.permissions import Principal
from service.storage.database import StoreUnavailable


class Store:
    def __init__(self) -> None:
        self.keys: dict[str, Principal] = {}
        self.asked = 0
        self.away = False
        self.lives = float("inf")

    async def verify(self, credential: str) -> Verified:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("postgres")
        if credential not in self.keys:
            raise NotAuthenticated("unknown")
        return Verified(self.keys[credential], ("key_1",), self.lives)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def known(store: Store) -> bytes:
    key = new_key()
    store.keys[key] = Principal("key_1", "key_1", "app", "key", frozenset({"chat"}))
    return key.encode()


async def test_a_key_is_asked_for_once(clock: Clock) -> None:
    store = Store()
    auth = Authenticator(store, 60, 3600)
    key = known(store)
    assert auth.remembered(key) is None
    await auth.verify(key)
    assert auth.remembered(key) is not None
    assert store.asked == 1


async def test_a_wrong_key_is_refused_and_not_asked_for_again_at_once(clock: Clock) -> None:
    store = Store()
    auth = Authenticator(store, 60, 3600)
    key = new_key().encode()
    for _ in range(3):
        with pytest.raises(NotAuthenticated):
            await auth.verify(key)
    assert store.asked == 1
    clock.now += 6
    with pytest.raises(NotAuthenticated):
        await auth.verify(key)
    assert store.asked == 2


async def test_while_the_store_is_away_a_known_key_works_and_an_unknown_one_is_not_called_wrong(
    clock: Clock,
) -> None:
    store = Store()
    auth = Authenticator(store, 60, 3600)
    key = known(store)
    await auth.verify(key)
    store.away = True
    clock.now += 600
    assert auth.remembered(key) is not None
    with pytest.raises(StoreUnavailable):
        await auth.verify(new_key().encode())


async def test_of_two_that_ask_at_once_the_one_whose_connection_is_lost_takes_the_others_answer(
    clock: Clock,
) -> None:
    store = Store()
    auth = Authenticator(store, 60, 3600)
    key = known(store)
    asks, lost = store.verify, asyncio.Event()

    async def held(credential: str) -> Verified:
        await lost.wait()
        raise StoreUnavailable("postgres")

    store.verify = held  # type: ignore[method-assign]
    unlucky = asyncio.create_task(auth.verify(key))
    stranger = asyncio.create_task(auth.verify(new_key().encode()))
    await asyncio.sleep(0)
    store.verify = asks  # type: ignore[method-assign]
    lucky = await auth.verify(key)
    lost.set()
    assert await unlucky == lucky
    with pytest.raises(StoreUnavailable):
        await stranger


async def test_memory_without_the_store_is_bounded(clock: Clock) -> None:
    store = Store()
    auth = Authenticator(store, 60, 3600)
    key = known(store)
    await auth.verify(key)
    store.away = True
    clock.now += 3661
    assert auth.remembered(key) is None


async def test_expiry_holds_also_for_what_is_remembered(clock: Clock) -> None:
    store = Store()
    auth = Authenticator(store, 60, 3600)
    key = known(store)
    store.lives = 5
    await auth.verify(key)
    clock.now += 6
    assert auth.remembered(key) is None


async def test_a_forgotten_key_is_asked_for_again(clock: Clock) -> None:
    store = Store()
    auth = Authenticator(store, 60, 3600)
    key = known(store)
    await auth.verify(key)
    auth.forget({"key_1": None})
    assert auth.remembered(key) is None


@pytest.mark.parametrize("again", [False, True])
async def test_a_key_that_is_revoked_while_it_is_looked_up_is_not_remembered(
    clock: Clock, again: bool
) -> None:
    """Also when it was known, and is being asked for again: the word of its end was heard in between."""
    store = Store()
    auth = Authenticator(store, 60, 3600)
    key = known(store)
    asked, answer = asyncio.Event(), asyncio.Event()
    verify = store.verify

    async def slowly(credential: str) -> Verified:
        found = await verify(credential)
        asked.set()
        await answer.wait()
        return found

    if again:
        await auth.verify(key)
        clock.now += 61
    store.verify = slowly  # type: ignore[method-assign]
    if again:
        assert auth.remembered(key) is not None
        work = next(iter(auth._tasks))
    else:
        work = asyncio.create_task(auth.verify(key))  # type: ignore[arg-type]
    await asked.wait()
    auth.forget({"key_1": None})
    answer.set()
    await work
    assert auth.remembered(key) is None


async def test_a_change_that_a_look_up_has_read_already_leaves_its_key_known(clock: Clock) -> None:
    """The word of it comes late, of a key just made, say; a store that goes then would make it unknown."""
    store = Store()
    auth = Authenticator(store, 60, 3600)
    key = known(store)
    made = datetime(2026, 1, 2, tzinfo=UTC)
    store.keys[key.decode()] = Principal("key_1", "key_1", "app", "key", frozenset({"chat"}), changed=made)
    verify = store.verify

    async def meanwhile(credential: str) -> Verified:
        found = await verify(credential)
        auth.forget({"key_1": made, "key_2": None})
        return found

    store.verify = meanwhile  # type: ignore[method-assign]
    await auth.verify(key)
    assert auth.remembered(key) is not None
