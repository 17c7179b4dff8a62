from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.providers.base import ProviderError, StreamEnd, StreamEvent, StreamStart
from service.providers.tokens import estimate_request
from service.routing.context import CallContext
from tests.service.routing.scripted import USED, Scripted, Stage, request


class Gate:
    """Makes a scripted provider wait until it is opened."""

    def __init__(self, provider: Scripted) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.cancelled = False
        complete, stream = provider.complete, provider.stream

        async def wait() -> None:
            self.reached.set()
            try:
                await self.opened.wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise

        async def slow_complete(*given):  # type: ignore[no-untyped-def]
            await wait()
            return await complete(*given)

        async def slow_stream(*given):  # type: ignore[no-untyped-def]
            await wait()
            async for event in stream(*given):
                yield event

        provider.complete = slow_complete  # type: ignore[method-assign]
        provider.stream = slow_stream  # type: ignore[method-assign]


async def test_a_slow_provider_is_overtaken_and_cancelled() -> None:
    stage = Stage("a", "b", hedge_after=0.001)
    gate = Gate(stage.providers["a"])
    ctx = stage.context()
    assert await stage.ask(ctx) == "b"
    assert ctx.provider == "b" and gate.cancelled
    assert sorted((a.provider, a.outcome) for a in ctx.attempts) == [("a", "cancelled"), ("b", "ok")]


PROMPT = estimate_request(request())  # tokens


@pytest.mark.parametrize("stream", [False, True])
async def test_who_was_overtaken_has_read_the_prompt_and_is_paid_for_it(stream: bool) -> None:
    stage = Stage("a", "b", hedge_after=0.001, prices={"a": 1e6, "b": 2e6})
    Gate(stage.providers["a"])
    ctx = stage.context()
    if stream:
        await collected(stage, ctx)
    else:
        await stage.ask(ctx)
    assert ctx.usage == USED
    assert ctx.cost_usd == PROMPT * 1.0 + (USED.input_tokens + USED.output_tokens) * 2.0
    told = [(provider, cost) for provider, _, _, cost in stage.recorder.of("usage")]
    assert sorted(told) == [("a", PROMPT * 1.0), ("b", 30.0)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("hedge_after", [0.0, 0.001])
async def test_prompts_that_are_read_for_a_client_that_leaves_are_paid_for(
    stream: bool, hedge_after: float
) -> None:
    stage = Stage("a", "b", hedge_after=hedge_after, prices={"a": 1e6, "b": 1e6})
    gates = [Gate(stage.providers[name]) for name in "ab"]
    ctx = stage.context()
    call = asyncio.create_task(collected(stage, ctx) if stream else stage.ask(ctx))  # type: ignore[arg-type]
    for gate in gates if hedge_after else gates[:1]:
        await gate.reached.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ctx.usage is not None and ctx.usage.estimated
    assert (ctx.usage.input_tokens, ctx.usage.output_tokens) == (PROMPT, 0)
    assert ctx.cost_usd == PROMPT * len(ctx.attempts) and ctx.provider is not None


async def test_a_slow_stream_is_overtaken_before_its_first_event() -> None:
    stage = Stage("a", "b", hedge_after=0.001)
    gate = Gate(stage.providers["a"])
    events = [event async for event in stage.router.stream(request(), stage.context())]
    assert isinstance(events[0], StreamStart) and events[0].id == "b" and gate.cancelled


async def test_a_quick_provider_is_not_doubled() -> None:
    stage = Stage("a", "b", hedge_after=30.0)
    assert await stage.ask() == "a" and stage.providers["b"].calls == []


async def test_the_first_may_still_win_when_the_second_fails() -> None:
    stage = Stage("a", "b", hedge_after=0.001, tries_per_target=1)
    gate = Gate(stage.providers["a"])
    stage.script("b", "overloaded")
    call = asyncio.create_task(stage.ask())
    await gate.reached.wait()
    while not stage.providers["b"].calls:
        await asyncio.sleep(0)
    gate.opened.set()
    assert await call == "a"


async def test_a_failover_does_not_ask_again_who_is_being_asked() -> None:
    stage = Stage("a", "b", hedge_after=0.001, tries_per_target=1)
    gates = [Gate(stage.providers[name]) for name in "ab"]
    stage.script("a", "overloaded")
    ctx = stage.context()
    call = asyncio.create_task(stage.ask(ctx))
    for gate in gates:
        await gate.reached.wait()
    gates[0].opened.set()
    while ctx.attempts[0].outcome == "open":
        await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)
    gates[1].opened.set()
    assert await call == "b"
    assert [(one.provider, one.outcome) for one in ctx.attempts] == [("a", "overloaded"), ("b", "ok")]


async def test_hedges_stop_when_the_budget_is_spent() -> None:
    stage = Stage("a", "b", hedge_after=0.001, retry_budget_floor=1.0, retry_budget_ratio=0.0)
    gate = Gate(stage.providers["a"])
    assert await stage.ask() == "b"
    second = asyncio.create_task(stage.ask())
    await gate.reached.wait()
    await asyncio.sleep(0.02)
    assert len(stage.providers["b"].calls) == 1
    gate.opened.set()
    assert await second == "a"


async def test_a_client_that_goes_away_cancels_both() -> None:
    stage = Stage("a", "b", hedge_after=0.001)
    gates = [Gate(stage.providers[name]) for name in "ab"]
    call = asyncio.create_task(stage.ask())
    for gate in gates:
        await gate.reached.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert all(gate.cancelled for gate in gates)


async def test_when_both_fail_the_client_is_told() -> None:
    stage = Stage("a", "b", hedge_after=0.001, tries_per_target=1)
    stage.script("a", "auth")
    stage.script("b", "auth")
    with pytest.raises(ProviderError) as caught:
        await stage.ask()
    assert caught.value.kind == "auth"


class Colliding(asyncio.Task[Any]):
    """Sets of these have no order that one may rely on: a copy of one can be the other way round."""

    def __hash__(self) -> int:
        return 7


async def test_two_that_answer_at_the_same_moment_leave_nothing_open() -> None:
    """One of them is taken, the other one is put down: never the other way round."""
    loop = asyncio.get_running_loop()
    stage = Stage("a", "b", hedge_after=0.001)
    gates = [Gate(stage.providers[name]) for name in "ab"]
    ctx = stage.context()
    loop.set_task_factory(lambda loop, work, **more: Colliding(work, loop=loop, **more))
    call = asyncio.create_task(collected(stage, ctx))
    for gate in gates:
        await gate.reached.wait()
    for gate in gates:
        gate.opened.set()
    assert isinstance((await call)[-1], StreamEnd)
    assert sorted(one.outcome for one in ctx.attempts) == ["cancelled", "ok"]


async def collected(stage: Stage, ctx: CallContext) -> list[StreamEvent]:
    return [event async for event in stage.router.stream(request(), ctx)]
