"""Turns that are announced in another order than they were stored in are told in the stored one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from service.api.debate_events import DebateEvents
from service.debates.spec import Step
from service.storage.database import StoreUnavailable

STORED = [Step(id=f"r1.p{n}", kind="turn", round=1, participant=f"p{n}", seq=10 * n) for n in (1, 2, 3)]


class Store:
    """Has every step that was stored; may be away for its first call."""

    def __init__(self, away: int = 0) -> None:
        self.away = away

    async def steps_after(self, identity: str, seq: int) -> list[Step]:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("postgres")
        return [step for step in STORED if step.seq > seq]


class Written(list[bytes]):
    async def write(self, data: bytes) -> None:
        self.append(data)

    def ids(self) -> list[int]:
        return [int(one.split(b"\n")[0][4:]) for one in self if one.startswith(b"id: ")]


async def told(store: Store, *announced: int) -> list[int]:
    live: asyncio.Queue[Any] = asyncio.Queue()
    for number in announced:
        live.put_nowait(("turn.completed", {}, number))
    live.put_nowait(None)
    events = DebateEvents(None, SimpleNamespace(store=store), "debate")  # type: ignore[arg-type]
    exchange = Written()
    await events._live(exchange, "deb_1", 0, live)  # type: ignore[arg-type]
    return exchange.ids()


async def test_ids_only_grow_and_none_is_left_out() -> None:
    assert await told(Store(), 20, 10, 30) == [10, 20, 30]
    assert await told(Store(), 30, 10, 20) == [10, 20, 30]
    assert await told(Store(), 10) == [10]


async def test_what_could_not_be_read_comes_with_the_next() -> None:
    assert await told(Store(away=1), 10, 20) == [10, 20]
