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
    runs: list[asyncio.Future[Outcome[Result]]] = [first]
    winner: Outcome[Result] | None = None
    try:
        await asyncio.wait(runs, timeout=after)
        if not first.done() and others and dispatcher.budget.spend():
            runs.append(asyncio.ensure_future(dispatcher.run(others, ctx, start)))
        winner = await _first_good(runs)
        return winner
    finally:
        for run in runs:
            run.cancel()
        for outcome in await asyncio.gather(*runs, return_exceptions=True):
            if isinstance(outcome, tuple) and outcome is not winner:
                result, pending = outcome
                pending.cancelled()
                await discard(result)
        if winner is not None:
            target = winner[1].target
            ctx.provider, ctx.model = target.upstream.name, target.model


async def _first_good(runs: list[asyncio.Future[Outcome[Result]]]) -> Outcome[Result]:
    """The first success, of several at once the earliest run's; the last failure when all failed."""
    waiting = list(runs)
    failures: list[BaseException] = []
    while waiting:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for run in [one for one in waiting if one.done()]:
            waiting.remove(run)
            error = run.exception()
            if error is None:
                return run.result()
            failures.append(error)
    raise failures[-1]
