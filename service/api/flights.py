"""Identical requests at the same time are one call of a provider: the first one leads, the others follow.

Nobody depends on another's client. A leader whose client goes away finishes for its followers; whoever of a
stream's readers needs the next event fetches it for all, so a slow one holds up nobody.

One call of a provider is paid once, by somebody who is answered: by the leader, or, when it has left, by one
of those who are still there. Sharing ends at the account: its keys have one budget, and the ledger names the
one that was served.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final

from msgspec import Struct

from service.api.call import Call
from service.cache.exact import Entry
from service.providers.base import CanonicalRequest, StreamEnd, StreamEvent, TextDelta, ThinkingDelta
from service.providers.errors import ProviderError
from service.routing.context import CallContext

EVENT_BYTES: Final = 100  # what an event weighs besides its text


class Flight(Struct, eq=False):
    """A whole answer on its way. When it lands with the leader's client gone, the first of those who waited
    for it is the `payer`.
    """

    _leader: Call
    payer: Call
    _followers: dict[Call, None] = {}  # in the order they came
    _landed: asyncio.Future[Entry | ProviderError | None] | None = None  # there for followers

    async def follow(self, call: Call) -> Entry | None:
        """The leader's answer; None when there will be none and somebody else must lead.

        Raises the leader's `ProviderError`: asking the same again at once would only repeat it.
        """
        self._followers[call] = None
        if self._landed is None:
            self._landed = asyncio.get_running_loop().create_future()
        try:
            landed = await asyncio.shield(self._landed)
        finally:
            del self._followers[call]
            if not self._followers and self._leader.exchange.disconnected and not self._landed.done():
                self._leader.exchange.task.cancel()
        if isinstance(landed, ProviderError):
            raise landed
        return landed

    def land(self, outcome: Entry | ProviderError | None) -> None:
        """The leader is done. Raises `CancelledError` when its own client has left meanwhile."""
        leader = self._leader
        if self._landed is not None:
            self._landed.set_result(outcome)
        if leader.exchange.disconnected:
            if self._followers and isinstance(outcome, Entry) and not leader.free:
                self.payer = next(iter(self._followers))
                _hand_over(leader, self.payer)
                leader.ctx.usage, leader.ctx.cost_usd = None, 0.0
            raise asyncio.CancelledError

    def leader_left(self) -> None:
        """The leader's client is gone."""
        exchange = self._leader.exchange
        exchange.disconnected = True
        if not self._followers:
            exchange.task.cancel()


class StreamFlight:
    """A stream on its way to several readers. Events are kept from the first one on, so that who comes later
    misses nothing, up to `most` bytes. Beyond that nobody may join, and who lags by more is cut off.
    """

    __slots__ = (
        "_base", "_error", "_events", "_landed", "_log", "_most", "_payer", "_puller", "_readers", "_size",
        "_waiters", "leader", "open",
    )  # fmt: skip

    def __init__(
        self, leader: Call, events: AsyncGenerator[StreamEvent, None], most: int, landed: Callable[[], None]
    ) -> None:
        self.leader = leader
        self.open = True  # to more readers
        self._events = events
        self._most = most
        self._landed = landed
        self._log: list[StreamEvent] = []
        self._base = 0  # number of the first event in the log
        self._size = 0
        self._readers: dict[Call, int] = {}  # number of the event that each wants next
        self._puller: Call | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._error: Exception | None = None
        self._payer: Call | None = None  # known when the stream has ended

    async def read(self, call: Call) -> AsyncGenerator[StreamEvent, None]:
        """Every event, for one reader. Raises `ProviderError` as the stream itself does."""
        readers, exchange = self._readers, call.exchange
        readers[call] = 0
        exchange.watch_disconnect(lambda: self._left(call))
        try:
            while True:
                if exchange.disconnected:  # also one that had left before it came
                    raise asyncio.CancelledError
                place = readers[call] - self._base
                if place < 0:
                    raise ProviderError("transport", "this client reads too slowly for a shared stream")
                if place < len(self._log):
                    event = self._log[place]
                    readers[call] += 1
                    if call.ctx.provider is None:
                        self._join(call)
                    if type(event) is StreamEnd:
                        call.ctx.usage = event.usage
                    yield event
                    if type(event) is StreamEnd:
                        return
                elif self._error is not None:
                    raise self._error
                elif self._puller is None:
                    await self._pull(call)
                else:
                    await self._wait()
        finally:
            await self._leave(call)

    async def _pull(self, call: Call) -> None:
        """Fetch the next event for everybody."""
        self._puller = call
        try:
            event = await anext(self._events)
        except Exception as error:
            self._fail(error)
        except BaseException:
            self._fail(ProviderError("transport", "the shared stream was cut"))
            raise
        else:
            self._add(event)
        finally:
            self._puller = None
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _add(self, event: StreamEvent) -> None:
        self._log.append(event)
        self._size += _weight(event)
        if type(event) is StreamEnd:
            self._settle()
        if self._size > self._most:
            self._trim()

    def _fail(self, error: Exception) -> None:
        """No reader gets more than this, and who comes now begins anew."""
        self._error, self.open = error, False
        self._settle()

    def _trim(self) -> None:
        """The answer is longer than what is kept: forget what all have read, then what is too old."""
        self.open = False
        read = min(self._readers.values()) - self._base
        dropped = 0
        while dropped < len(self._log) and (dropped < read or self._size > self._most):
            self._size -= _weight(self._log[dropped])
            dropped += 1
        del self._log[:dropped]
        self._base += dropped

    async def _wait(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _join(self, call: Call) -> None:
        """The first event is there for a follower: from here on it is answered, and pays nothing."""
        source, ctx = self.leader.ctx, call.ctx
        ctx.provider, ctx.model = source.provider, source.model
        call.free, call.cache = True, "shared"

    def _settle(self) -> None:
        """The stream has ended: the leader pays, or, when it has left, one who is still there."""
        if self._payer is not None:
            return
        leader = self.leader
        self._payer = payer = leader if leader in self._readers else next(iter(self._readers))
        if payer is not leader:  # which was booked when it left, without what came after that
            _hand_over(leader, payer)

    def _left(self, call: Call) -> None:
        """Its client is gone. If it is fetching for others, it brings that one event in before it goes."""
        call.exchange.disconnected = True
        if self._puller is not call or len(self._readers) == 1:
            call.exchange.task.cancel()

    async def _leave(self, call: Call) -> None:
        last = len(self._readers) == 1
        try:
            if last:
                self.open = False
                self._landed()
                await self._events.aclose()
        finally:
            if last:
                self._settle()
            del self._readers[call]
        puller = self._puller
        if puller is not None and len(self._readers) == 1 and puller.exchange.disconnected:
            puller.exchange.task.cancel()


class Flights:
    """What is on its way in this process, by cache key. `most` bytes of a shared stream are kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._whole: dict[str, Flight] = {}
        self._streams: dict[str, StreamFlight] = {}

    def find(self, key: str) -> Flight | None:
        return self._whole.get(key)

    def begin(self, call: Call) -> Flight:
        """`call` leads from now on; `land` ends it."""
        flight = self._whole[call.cache_key] = Flight(call, call)
        call.exchange.watch_disconnect(flight.leader_left)
        return flight

    def land(self, call: Call, flight: Flight, outcome: Entry | ProviderError | None) -> None:
        """Raises `CancelledError` when the leader's client has left meanwhile."""
        del self._whole[call.cache_key]
        flight.land(outcome)

    def stream(
        self, call: Call, begin: Callable[[CanonicalRequest, CallContext], AsyncGenerator[StreamEvent, None]]
    ) -> StreamFlight:
        """The stream to `read` now, at once: an open one, or one that begins and that `call` leads."""
        key, streams = call.cache_key, self._streams
        flight = streams.get(key)
        if flight is None or not flight.open:

            def landed() -> None:
                if streams.get(key) is flight:
                    del streams[key]

            flight = streams[key] = StreamFlight(call, begin(call.request, call.ctx), self._most, landed)
        return flight


def _hand_over(leader: Call, payer: Call) -> None:
    """`payer` answers for the provider's call as if it had made it."""
    source, ctx = leader.ctx, payer.ctx
    ctx.provider, ctx.model, ctx.attempts = source.provider, source.model, source.attempts
    ctx.usage, ctx.cost_usd, ctx.ttft = source.usage, source.cost_usd, source.ttft
    payer.free, payer.cache = False, "miss"


def _weight(event: StreamEvent) -> int:
    text = event.text if type(event) is TextDelta or type(event) is ThinkingDelta else ""
    return len(text) + EVENT_BYTES
