"""Hedging: when the first provider has not begun to answer in time, ask a second one as well.

The first to begin wins, the other is cancelled. It costs tokens twice where it happens, so it spends
from the same budget as repeats (Dean and Barroso, "The Tail at Scale", 2013).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from service.routing.context import CallContext
from service.routing.dispatch import Dispatcher, Pending
from service.routing.target import Target

Result = TypeVar("Result")
Start = Callable[[Target, float], Awaitable[Result]]
Outcome = tuple[Result, Pending]


async def run_hedged(
    dispatcher: Dispatcher,
    targets: Sequence[Target],
    ctx: CallContext,
    start: Start[Result],
    after: float,
    discard: Callable[[Result], Awaitable[None]],
) -> Outcome[Result]:
    """Like `Dispatcher.run`, with a second run over the other providers after `after` seconds.

    `discard` disposes of a result that came too late to win.
    """
    first = asyncio.ensure_future(dispatcher.run(targets, ctx, start))
    others = [target for target in targets if target.upstream is not targets[0].upstream]
    runs: set[asyncio.Future[Outcome[Result]]] = {first}
    try:
        await asyncio.wait(runs, timeout=after)
        if not first.done() and others and dispatcher.budget.spend():
            runs.add(asyncio.ensure_future(dispatcher.run(others, ctx, start)))
        return await _first_good(runs, ctx)
    finally:
        winner = next((run for run in runs if _succeeded(run)), None)
        for run in runs:
            run.cancel()
        for outcome in await asyncio.gather(*runs, return_exceptions=True):
            if winner is not None and outcome is winner.result():
                continue
            if isinstance(outcome, tuple):
                result, pending = outcome
                pending.cancelled()
                await discard(result)
        if winner is not None:
            target = winner.result()[1].target
            ctx.provider, ctx.model = target.upstream.name, target.model


async def _first_good(runs: set[asyncio.Future[Outcome[Result]]], ctx: CallContext) -> Outcome[Result]:
    """The first success; the first run's failure when all failed."""
    waiting = set(runs)
    failures: list[BaseException] = []
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for run in done:
            error = run.exception()
            if error is None:
                return run.result()
            failures.append(error)
    raise failures[-1]


def _succeeded(run: asyncio.Future[Outcome[Result]]) -> bool:
    return run.done() and not run.cancelled() and run.exception() is None
