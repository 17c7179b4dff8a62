"""A conversation is written over the version that was read, whatever became of the claim on its turn."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from service.providers.base import Message, Text
from service.storage.conversations import Conflict, Conversations
from service.storage.leases import Leases
from service.storage.redis_link import Address, RedisLink

pytestmark = pytest.mark.component


@pytest_asyncio.fixture
async def link(valkey_server: str) -> AsyncIterator[RedisLink]:
    link = RedisLink(Address(valkey_server), 2.0)
    await link.start()
    yield link
    await link.close()


async def test_a_turn_whose_claim_lapsed_swallows_no_other(link: RedisLink) -> None:
    slow, quick = (Conversations(link, Leases(link)) for _ in range(2))
    account = uuid.uuid4().hex
    made = await slow.create(account, "m", "", 60)
    one = await slow.begin_turn(account, made.id)
    await link.call("DEL", f"sa:{{{account}}}:s:{made.id}:turn")  # its node slept for longer than the claim
    two = await quick.begin_turn(account, made.id)
    assert one is not None
    assert two is not None
    one.messages, two.messages = [Message("user", (Text("late"),))], [Message("user", (Text("quick"),))]
    await quick.save(account, two)
    with pytest.raises(Conflict):
        await slow.save(account, one)
    kept = await slow.load(account, made.id)
    assert kept is not None
    assert kept.messages == two.messages


async def test_the_end_of_a_turn_that_was_kept_frees_no_later_one(link: RedisLink) -> None:
    """The client has its answer, and its next message is here before the first request is over."""
    store, account = Conversations(link, Leases(link)), uuid.uuid4().hex
    made = await store.create(account, "m", "", 60)
    first = await store.begin_turn(account, made.id)
    assert first is not None
    await store.save(account, first)
    assert await store.begin_turn(account, made.id) is not None
    store.end_turn(account, first)
    with pytest.raises(Conflict):
        await store.begin_turn(account, made.id)


async def test_what_cannot_be_read_is_claimed_no_longer_than_a_moment(link: RedisLink) -> None:
    """Another version wrote it: nobody here will end that turn, so nobody may keep it claimed."""
    leases = Leases(link, 0.3)
    leases.start()
    store, account = Conversations(link, leases), uuid.uuid4().hex
    made = await store.create(account, "m", "", 60)
    key = f"sa:{{{account}}}:s:{made.id}"
    await link.call("HSET", key, "data", b"\xc1")
    with pytest.raises(msgspec.MsgspecError):
        await store.begin_turn(account, made.id)
    async with asyncio.timeout(10):
        while await link.call("EXISTS", key + ":turn"):
            await asyncio.sleep(0.01)
    await leases.close()
