"""A conversation is written over the version that was read, whatever became of the claim on its turn."""

from __future__ import annotations

import uuid

import pytest

from service.providers.base import Message, Text
from service.storage.conversations import Conflict, Conversations
from service.storage.leases import Leases
from service.storage.redis_link import Address, RedisLink


@pytest.mark.component
async def test_a_turn_whose_claim_lapsed_swallows_no_other(valkey_server: str) -> None:
    link = RedisLink(Address(valkey_server), 2.0)
    await link.start()
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
    await link.close()
