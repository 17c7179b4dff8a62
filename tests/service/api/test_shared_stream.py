"""One stream of a provider and several readers, event by event: who is cut, who pays, when it is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from types import SimpleNamespace

import pytest

from service.api.call import Call
from service.api.flights import StreamFlight
from service.providers.base import StreamEnd, StreamEvent, StreamStart, TextDelta, Usage
from service.providers.errors import ProviderError
from service.routing.context import CallContext

COST = 0.25
START, END = StreamStart("x", "m"), StreamEnd("stop", Usage(1, 2))


class Exchange:
    """As far as a flight looks at one; `task` reads."""

    def __init__(self, *, gone: bool = False) -> None:
        self.disconnected = False
        self.task: asyncio.Task[None] | None = None
        self._gone = gone

    def watch_disconnect(self, left: Callable[[], None]) -> None:
        if self._gone:
            left()


class Reader:
    """One reader in a task of its own; `seen` is what it got, `go` lets it take the next so many."""

    def __init__(self, flight: StreamFlight, call: Call, most: int = 99) -> None:
        self.call = call
        self.seen: list[StreamEvent] = []
        self._room = asyncio.Semaphore(most)
        self.task = call.exchange.task = asyncio.create_task(self._read(flight))

    async def _read(self, flight: StreamFlight) -> None:
        events = flight.read(self.call)
        try:
            while True:
                await self._room.acquire()
                self.seen.append(await anext(events))
        except StopAsyncIteration:
            pass
        finally:
            await events.aclose()

    def go(self) -> None:
        self._room.release()

    async def has(self, number: int) -> None:
        async with asyncio.timeout(10):
            while len(self.seen) < number:
                await asyncio.sleep(0)

    async def ended(self) -> BaseException | None:
        async with asyncio.timeout(10):
            await asyncio.wait([self.task])
        return asyncio.CancelledError() if self.task.cancelled() else self.task.exception()

    @property
    def booked(self) -> float:
        return 0.0 if self.call.free else self.call.ctx.cost_usd


class Provider:
    """Says what is put into `says`, and settles on the leader's call however it ends, as the router does."""

    def __init__(self, leader: Call) -> None:
        self.says: asyncio.Queue[StreamEvent | ProviderError] = asyncio.Queue()
        self.closed = False
        self._leader = leader

    async def stream(self) -> AsyncGenerator[StreamEvent, None]:
        ctx = self._leader.ctx
        ctx.provider, ctx.model = "p", "m"
        try:
            while True:
                said = await self.says.get()
                if isinstance(said, ProviderError):
                    raise said
                yield said
        finally:
            ctx.usage, ctx.cost_usd = Usage(1, 2), COST
            self.closed = True


def made(*, gone: bool = False) -> Call:
    ctx = CallContext(request_id="r", deadline=0.0)
    return Call(Exchange(gone=gone), SimpleNamespace(id="k"), None, ctx, None, True)  # type: ignore[arg-type]


def begun(leader: Call, most: int = 10_000) -> tuple[Provider, StreamFlight]:
    provider = Provider(leader)
    return provider, StreamFlight(leader, provider.stream(), most, lambda: None)


async def test_what_is_kept_of_a_shared_stream_is_bounded_and_who_lags_behind_it_is_told() -> None:
    async def words() -> AsyncGenerator[StreamEvent, None]:
        yield StreamStart("x", "m")
        for _ in range(50):
            yield TextDelta("x" * 100)
        yield StreamEnd("stop", Usage(1, 50))

    fast, slow = made(), made()
    flight = StreamFlight(fast, words(), 2000, lambda: None)
    reading, lagging = flight.read(fast), flight.read(slow)
    assert await anext(lagging) == await anext(reading) == StreamStart("x", "m")
    longest = 0
    async for _ in reading:
        longest = max(longest, len(flight._log))
    assert 5 < longest <= 11
    assert not flight.open
    with pytest.raises(ProviderError, match="reads too slowly"):
        await anext(lagging)


async def test_when_all_readers_leave_between_two_events_the_provider_is_hung_up_on() -> None:
    leader, follower = made(), made()
    provider, flight = begun(leader)
    provider.says.put_nowait(START)
    one, other = flight.read(leader), flight.read(follower)
    assert await anext(one) == await anext(other) == START
    await one.aclose()
    assert not provider.closed
    await other.aclose()
    assert provider.closed
    assert not flight.open


async def test_who_joins_after_its_client_has_left_cuts_nobody() -> None:
    leader = made()
    provider, flight = begun(leader)
    provider.says.put_nowait(START)
    stays = Reader(flight, leader, most=1)
    await stays.has(1)  # and it is busy: whoever comes now fetches the next event
    gone = Reader(flight, made(gone=True))
    assert isinstance(await gone.ended(), asyncio.CancelledError)
    for event in (TextDelta("on"), END):
        provider.says.put_nowait(event)
        stays.go()
    stays.go()
    assert await stays.ended() is None
    assert stays.seen == [START, TextDelta("on"), END]
    assert (stays.booked, gone.booked) == (COST, 0.0)


@pytest.mark.parametrize("cancelled", [0, 1])
async def test_a_stream_that_is_cancelled_while_others_read_is_paid_once(cancelled: int) -> None:
    leader, follower = made(), made()
    provider, flight = begun(leader)
    provider.says.put_nowait(START)
    # The server stops and cancels whoever fetches, first or second.
    readers = [Reader(flight, leader, most=99 - 98 * cancelled)]
    await readers[0].has(1)
    readers.append(Reader(flight, follower))
    await readers[1].has(1)
    readers[0].go()
    await asyncio.sleep(0)
    readers[cancelled].task.cancel()
    assert isinstance(await readers[cancelled].ended(), asyncio.CancelledError)
    booked = readers[cancelled].booked  # now, as the request ends now
    error = await readers[1 - cancelled].ended()
    assert isinstance(error, ProviderError)
    assert booked + readers[1 - cancelled].booked == COST


async def test_nobody_joins_a_stream_that_has_failed() -> None:
    leader = made()
    provider, flight = begun(leader)
    provider.says.put_nowait(START)
    slow, quick = Reader(flight, leader, most=1), Reader(flight, made())
    await quick.has(1)
    provider.says.put_nowait(ProviderError("transport", "gone"))
    assert isinstance(await quick.ended(), ProviderError)
    assert not slow.task.done()
    assert not flight.open
    slow.go()
    assert isinstance(await slow.ended(), ProviderError)
    assert (slow.booked, quick.booked) == (COST, 0.0)
