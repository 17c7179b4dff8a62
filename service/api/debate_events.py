"""A debate's events as server-sent events: told once when it is begun with `stream`, and again to whoever
comes (back) with `GET /v1/debates/{id}/events`.

An event of a stored step has an id, which only grows within a debate. `Last-Event-ID` names the last one that
a client has; it gets every later one, whichever node runs the debate and whichever it asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Final

import orjson

from service.api import errors
from service.api.endpoint import Door, path_parameter
from service.api.errors import ApiError
from service.api.exchange import Exchange
from service.debates import view
from service.debates.runner import FOLLOW_SECONDS, Events, Runner
from service.storage.database import StoreUnavailable

KEEP_ALIVE_SECONDS: Final = 15.0
STILL_HERE: Final = b": still here\n\n"
DONE: Final = b"data: [DONE]\n\n"
MOST_FOLLOWERS: Final = 200
"""Streams that one process reads from Postgres for, twice a second each."""
_LARGEST: Final = 2**63 - 1


def event(name: str, data: dict[str, Any], number: int = 0) -> bytes:
    """One event; without a number a client keeps the id that it saw last."""
    identity = b"id: %d\n" % number if number else b""
    return b"%bevent: %b\ndata: %b\n\n" % (identity, name.encode(), orjson.dumps(data, default=str))


def last_seen(headers: dict[bytes, bytes]) -> int:
    """What `Last-Event-ID` says, 0 without it. Raises `ApiError` 400."""
    text = headers.get(b"last-event-id", b"").strip()
    if not text:
        return 0
    if not text.isdigit() or len(text) > 19 or int(text) > _LARGEST:
        raise ApiError(400, "'Last-Event-ID' must be the id of an event.", param="Last-Event-ID")
    return int(text)


class DebateEvents:
    """`GET /v1/debates/{id}/events`: needs the permission `debate`. Leaving it cancels nothing."""

    def __init__(self, door: Door, runner: Runner, permission: str) -> None:
        self._door = door
        self._runner = runner
        self._permission = permission
        self._followers = 0

    async def __call__(self, exchange: Exchange) -> None:
        principal = await self._door.enter(exchange, self._permission)
        identity = path_parameter(exchange, "id")
        seen = last_seen(exchange.headers)
        if await self._runner.store.load(principal.account, identity) is None:
            raise ApiError(404, "There is no such debate.", param="id")
        if self._followers >= MOST_FOLLOWERS:
            self._door.limited("global")
            raise ApiError(429, "Too many clients follow debates here; try again.", retry_after=1.0)
        self._followers += 1
        exchange.watch_disconnect()
        try:
            await self.tell(exchange, principal.account, identity, seen, None)
        finally:
            self._followers -= 1

    async def tell(
        self, exchange: Exchange, account: str, identity: str, seen: int, live: Events | None
    ) -> None:
        """The whole stream. With `live` events it is told at once, else within half a second."""
        await exchange.start_stream([])
        await exchange.write(event("debate.started", {"id": identity}))
        try:
            if live is not None:
                seen = await self._live(exchange, identity, seen, live)
            if await self._stored(exchange, identity, seen, live is not None):
                await self._end(exchange, account, identity)
            else:
                await exchange.finish(b"retry: 500\n\n")
        except Exception as error:
            wrong = errors.payload(exchange.describe_failure(error), exchange.request_id)
            await exchange.finish(event("error", {"error": wrong}))

    async def _live(self, exchange: Exchange, identity: str, seen: int, live: Events) -> int:
        """Until this node has ended the debate, or lost it; the last id that was told.

        Turns of a round are announced in any order, but told in the order in which they were stored: an id
        that a client has seen stands for every smaller one, or coming back would leave a gap.
        """
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    heard = await live.get()
            except TimeoutError:
                await exchange.write(STILL_HERE)
                continue
            if heard is None:
                return seen
            name, data, number = heard
            if number == 0:
                await exchange.write(event(name, data))
            elif number > seen:
                with contextlib.suppress(StoreUnavailable):  # the rest is told when Postgres is back
                    seen, _ = await self._later(exchange, identity, seen, number)

    async def _stored(self, exchange: Exchange, identity: str, seen: int, stay: bool) -> bool:
        """Until the debate is over, at whatever node it runs; False when this node leaves before."""
        spoke = time.monotonic()
        while stay or not self._runner.leaving:
            with contextlib.suppress(StoreUnavailable):
                # In this order: what is stored before it ended is told before it ended.
                status = await self._runner.store.status(identity)
                seen, told = await self._later(exchange, identity, seen, _LARGEST)
                spoke = time.monotonic() if told else spoke
                if status != "running":
                    return True
            if time.monotonic() - spoke >= KEEP_ALIVE_SECONDS:
                spoke = time.monotonic()
                await exchange.write(STILL_HERE)
            await asyncio.sleep(FOLLOW_SECONDS)
        return False

    async def _later(self, exchange: Exchange, identity: str, seen: int, last: int) -> tuple[int, bool]:
        """Tell the stored steps after `seen` up to `last`; the last one told, and whether there was any."""
        before = seen
        for step in await self._runner.store.steps_after(identity, seen):
            if step.seq > last:
                break
            seen = step.seq
            told = view.event(step)
            if told is not None:
                await exchange.write(event(*told, seen))
        return seen, seen > before

    async def _end(self, exchange: Exchange, account: str, identity: str) -> None:
        found = await self._runner.store.load(account, identity)
        if found is None:  # its retention ended meanwhile
            raise ApiError(404, "There is no such debate any more.", param="id")
        await exchange.finish(event(f"debate.{found.status}", view.whole(found)) + DONE)
