"""Several answers to one request (`n`): as many calls side by side, each routed, retried and failed over by
itself, so that it works with every provider. One usage row books their sum.

All or nothing: one call that fails for good ends the others, and the request fails with its error. A stream
begins when every choice has begun, so that such a failure is a proper error and rarely a cut. No cache takes
part: who asks for several answers wants them to differ.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import Any, Final, Protocol, TypeVar

from msgspec import structs

from service.api.call import Call, usage_row
from service.providers.base import CanonicalRequest, CanonicalResponse, StreamEnd, StreamEvent, Usage
from service.routing.context import CallContext
from service.storage.journal import Journal

MAX_CHOICES: Final = 16
WAITING_EVENTS: Final = 16  # fetched ahead of the client, of all choices together
MAX_SEED: Final = 2**63 - 1

Result = TypeVar("Result")
ChoiceEvent = tuple[int, StreamEvent]


class Answering(Protocol):
    """What choices need of `service.routing`."""

    async def complete(self, request: CanonicalRequest, ctx: CallContext) -> CanonicalResponse: ...

    def stream(self, request: CanonicalRequest, ctx: CallContext) -> AsyncGenerator[StreamEvent, None]: ...


class Choices:
    """`call.choices` says how many."""

    def __init__(self, router: Answering, journal: Journal) -> None:
        self._router = router
        self._journal = journal

    async def complete(self, call: Call) -> list[CanonicalResponse]:
        """The answers in order. Raises the first `ProviderError` of any."""
        contexts = _contexts(call)
        try:
            return await _all(
                [self._router.complete(_request(call, index), ctx) for index, ctx in enumerate(contexts)]
            )
        finally:
            _gather_up(call.ctx, contexts)

    async def stream(self, call: Call) -> AsyncGenerator[ChoiceEvent, None]:
        """Events with the index of their choice, as they come. Raises the first `ProviderError` of any."""
        contexts = _contexts(call)
        streams = [self._router.stream(_request(call, index), ctx) for index, ctx in enumerate(contexts)]
        pumps: list[asyncio.Task[None]] = []
        try:
            firsts = await _all([_first(one) for one in streams])
            _gather_up(call.ctx, contexts)
            self._journal.stream_opened(usage_row(call, "open"))
            for index, event in enumerate(firsts):
                yield index, event
            queue: asyncio.Queue[tuple[int, StreamEvent | Exception]] = asyncio.Queue(WAITING_EVENTS)
            pumps += [asyncio.create_task(_pump(index, one, queue)) for index, one in enumerate(streams)]
            running = len(streams)
            while running:
                index, came = await queue.get()
                if isinstance(came, Exception):
                    raise came
                running -= type(came) is StreamEnd
                yield index, came
        finally:
            await _end(pumps)
            for one in streams:
                await one.aclose()
            _gather_up(call.ctx, contexts)


async def _pump(
    index: int,
    events: AsyncGenerator[StreamEvent, None],
    queue: asyncio.Queue[tuple[int, StreamEvent | Exception]],
) -> None:
    try:
        async for event in events:
            await queue.put((index, event))
    except Exception as error:
        await queue.put((index, error))


async def _first(events: AsyncGenerator[StreamEvent, None]) -> StreamEvent:
    return await anext(events)


async def _all(work: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Every result, or the first failure; nothing of it runs on after that."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await _end(tasks)


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _request(call: Call, index: int) -> CanonicalRequest:
    """The same seed would give the same answer: each choice has its own, the first one the client's."""
    request = call.request
    if request.seed is None or index == 0:
        return request
    seed = request.seed + index
    return structs.replace(request, seed=seed if seed <= MAX_SEED else request.seed - index)


def _contexts(call: Call) -> list[CallContext]:
    ctx = call.ctx
    return [
        CallContext(
            request_id=ctx.request_id,
            deadline=ctx.deadline,
            policy=ctx.policy,
            trace=ctx.trace,
            span=ctx.span,
        )
        for _ in range(call.choices)
    ]


def _gather_up(whole: CallContext, parts: list[CallContext]) -> None:
    """What the row, the headers and the log say: sums, and the provider of the first choice that has one."""
    named = [ctx for ctx in parts if ctx.provider is not None]
    if named:
        whole.provider, whole.model = named[0].provider, named[0].model
    whole.attempts = [attempt for ctx in parts for attempt in ctx.attempts]
    used = [ctx.usage for ctx in parts if ctx.usage is not None]
    if used:
        whole.usage = add(used)
    whole.cost_usd = sum([ctx.cost_usd for ctx in parts])
    whole.ttft = max([ctx.ttft for ctx in parts if ctx.ttft is not None], default=None)


def add(used: Sequence[Usage]) -> Usage:
    """The sum of what several calls used."""
    return Usage(
        sum([one.input_tokens for one in used]),
        sum([one.output_tokens for one in used]),
        sum([one.cache_read_tokens for one in used]),
        sum([one.cache_write_tokens for one in used]),
        sum([one.reasoning_tokens for one in used]),
        sum([one.cache_write_1h_tokens for one in used]),
        any(one.estimated for one in used),
    )
