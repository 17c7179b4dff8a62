"""A debate's events as server-sent events: told once when it is begun with `stream`, and again to whoever
comes (back) with `GET /v1/debates/{id}/events`.

An event of a stored step has an id, which only grows within a debate. `Last-Event-ID` names the last one that
a client has; it gets every later one, whichever node runs the debate and whichever it asks.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import orjson

from service.api import errors
from service.api.endpoint import Door, path_parameter
from service.api.errors import ApiError
from service.api.exchange import Exchange
from service.debates import view
from service.debates.runner import FOLLOW_SECONDS, Runner
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
            await exchange.start_stream([])
            await exchange.write(event("debate.started", {"id": identity}))
            await self._follow(exchange, principal.account, identity, seen)
        finally:
            self._followers -= 1

    async def _follow(self, exchange: Exchange, account: str, identity: str, seen: int) -> None:
        """Until the debate is over (then `[DONE]`), or this node leaves: the client comes back elsewhere."""
        spoke = time.monotonic()
        try:
            while not self._runner.leaving:
                try:
                    # In this order: what is stored before it ended is told before it ended.
                    record = await self._runner.store.status(identity)
                    for step in await self._runner.store.steps_after(identity, seen):
                        seen = step.seq
                        told = view.event(step)
                        if told is not None:
                            spoke = time.monotonic()
                            await exchange.write(event(*told, seen))
                    if record != "running":
                        return await self._end(exchange, account, identity)
                except StoreUnavailable:
                    pass  # what it missed is read when Postgres is back
                if time.monotonic() - spoke >= KEEP_ALIVE_SECONDS:
                    spoke = time.monotonic()
                    await exchange.write(STILL_HERE)
                await asyncio.sleep(FOLLOW_SECONDS)
            await exchange.finish(b"retry: 500\n\n")
        except Exception as error:
            told_wrong = errors.payload(exchange.describe_failure(error), exchange.request_id)
            await exchange.finish(event("error", {"error": told_wrong}))

    async def _end(self, exchange: Exchange, account: str, identity: str) -> None:
        found = await self._runner.store.load(account, identity)
        if found is None:  # its retention ended meanwhile
            raise ApiError(404, "There is no such debate any more.", param="id")
        await exchange.finish(event(f"debate.{found.status}", view.whole(found)) + DONE)
