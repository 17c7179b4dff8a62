from __future__ import annotations

import asyncio

import pytest

from service.providers.base import (
    CanonicalResponse,
    ProviderError,
    ProvidersUnavailable,
    StreamEnd,
    StreamStart,
)
from service.routing import router
from service.routing.dispatch import Pending
from service.routing.retry import RetryBudget, full_jitter
from tests.service.routing.scripted import Stage, request


async def test_a_passing_fault_is_tried_again_at_the_same_place_after_a_jittered_pause() -> None:
    stage = Stage("a", "b")
    stage.script("a", "transport")
    ctx = stage.context()
    assert await stage.ask(ctx) == "a"
    assert [a.outcome for a in ctx.attempts] == ["transport", "ok"]
    assert len(stage.time.slept) == 1 and 0 <= stage.time.slept[0] <= 0.1
    assert stage.recorder.of("fallback") == []


@pytest.mark.parametrize("kind", ["auth", "quota", "timeout", "not_found", "context_too_long"])
async def test_what_a_repeat_cannot_mend_moves_on_at_once(kind: str) -> None:
    stage = Stage("a", "b")
    stage.script("a", kind)
    assert await stage.ask() == "b"
    assert stage.time.slept == [] and stage.recorder.of("fallback") == [("a", "b")]


async def test_who_is_told_to_wait_is_left_alone_for_that_long() -> None:
    stage = Stage("a", "b")
    stage.providers["a"].script = [ProviderError("rate_limited", "slow", retry_after=20)]
    assert await stage.ask() == "b"
    assert await stage.ask() == "b"
    assert len(stage.providers["a"].calls) == 1
    stage.time.now += 20
    assert await stage.ask() == "a"


async def test_the_only_provider_is_waited_for_when_the_deadline_allows() -> None:
    stage = Stage("a")
    stage.providers["a"].script = [ProviderError("rate_limited", "slow", retry_after=5)]
    assert await stage.ask() == "a"
    assert 5 <= sum(stage.time.slept) < 8


async def test_no_pause_goes_beyond_the_deadline_and_the_client_learns_how_long_to_wait() -> None:
    stage = Stage("a")
    stage.providers["a"].script = [ProviderError("rate_limited", "slow", retry_after=50)]
    with pytest.raises(ProviderError) as caught:
        await stage.ask(stage.context(seconds=10))
    assert (caught.value.kind, caught.value.retry_after, caught.value.provider) == ("rate_limited", 50, "a")
    assert stage.time.slept == []


async def test_when_all_time_is_used_up_that_is_what_is_told() -> None:
    stage = Stage("a", "b")
    stage.time.now += 100
    ctx = stage.context(seconds=-1)
    with pytest.raises(ProviderError) as caught:
        await stage.ask(ctx)
    assert caught.value.kind == "timeout" and ctx.attempts == []


async def test_attempts_are_bounded() -> None:
    stage = Stage("a", "b", "c", max_attempts=3)
    for name in "abc":
        stage.script(name, *["overloaded"] * 9)
    ctx = stage.context()
    with pytest.raises(ProviderError):
        await stage.ask(ctx)
    assert len(ctx.attempts) == 3


async def test_repeats_have_a_budget_so_that_an_outage_is_not_multiplied() -> None:
    stage = Stage("a", retry_budget_ratio=0.1, retry_budget_floor=5, breaker_failures=10**9)
    stage.script("a", *["overloaded"] * 10_000)
    for _ in range(200):
        with pytest.raises(ProviderError):
            await stage.ask()
    assert 200 <= len(stage.providers["a"].calls) <= 200 * 1.1 + 6


async def test_a_pause_beyond_the_deadline_spends_no_repeat() -> None:
    stage = Stage("a", tries_per_target=2, retry_budget_floor=1.0, retry_budget_ratio=0.0)
    stage.script("a", ProviderError("rate_limited", "slow down", retry_after=1_000.0), "overloaded")
    with pytest.raises(ProviderError):
        await stage.ask()
    assert await stage.ask() == "a"  # the repeat is there for a fault that passes


async def test_an_open_breaker_is_skipped_and_closed_again_by_two_probes() -> None:
    stage = Stage("a", "b", tries_per_target=1)
    stage.script("a", *["internal"] * 5)
    for _ in range(5):
        assert await stage.ask() == "b"
    calls = len(stage.providers["a"].calls)
    assert await stage.ask() == "b" and len(stage.providers["a"].calls) == calls
    assert stage.router.health()["a"].breaker == "open"
    stage.time.now += 30
    assert [await stage.ask(), await stage.ask()] == ["a", "a"]
    assert stage.router.health()["a"].breaker == "closed"
    assert stage.recorder.of("breaker") == [("a", 1), ("a", 2), ("a", 0)]


async def test_when_every_breaker_is_open_the_client_is_told_when_to_come_back() -> None:
    stage = Stage("a", breaker_failures=1, tries_per_target=1)
    stage.script("a", "internal")
    with pytest.raises(ProviderError):
        await stage.ask()
    with pytest.raises(ProvidersUnavailable, match="a/m: circuit open") as caught:
        await stage.ask()
    assert caught.value.retry_after == 30 and caught.value.http_status == 503


@pytest.mark.parametrize("kind", ["bad_request", "content_filtered"])
async def test_a_clients_mistake_neither_opens_the_breaker_nor_holds_a_probe(kind: str) -> None:
    stage = Stage("a", breaker_failures=1)
    stage.script("a", *[kind] * 3)
    for _ in range(3):
        with pytest.raises(ProviderError) as caught:
            await stage.ask()
        assert caught.value.kind == kind
    assert stage.router.health()["a"].breaker == "closed"


async def test_one_kind_of_failure_everywhere_is_told_as_itself() -> None:
    stage = Stage("a", "b")
    for name in "ab":
        stage.script(name, "context_too_long")
    with pytest.raises(ProviderError) as caught:
        await stage.ask()
    assert caught.value.kind == "context_too_long" and caught.value.http_status == 400


async def test_an_adapter_with_a_bug_is_an_error_of_the_provider_and_not_of_the_gateway() -> None:
    stage = Stage("a", "b")

    async def broken(*_: object) -> object:
        raise ZeroDivisionError("secret detail")

    stage.providers["a"].complete = broken  # type: ignore[assignment, method-assign]
    with pytest.raises(ProviderError) as caught:
        await stage.ask()
    assert caught.value.kind == "internal" and "secret" not in str(caught.value)


async def test_a_cancelled_call_counts_for_nothing_and_leaves_nothing_behind() -> None:
    stage = Stage("a")
    started = asyncio.Event()

    async def hang(*_: object) -> object:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    stage.providers["a"].complete = hang  # type: ignore[assignment, method-assign]
    ctx = stage.context()
    call = asyncio.create_task(stage.ask(ctx))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert [a.outcome for a in ctx.attempts] == ["cancelled"]
    (target,) = stage.router._models.resolve("a/m")
    assert target.load.in_flight == 0


# --- streams ----------------------------------------------------------------------------------------


async def test_a_stream_fails_over_before_its_first_event() -> None:
    stage = Stage("a", "b", tries_per_target=1)
    stage.script("a", "overloaded")
    ctx = stage.context()
    events = [event async for event in stage.router.stream(request(), ctx)]
    assert isinstance(events[0], StreamStart) and events[0].id == "b"
    assert [(a.provider, a.outcome) for a in ctx.attempts] == [("a", "overloaded"), ("b", "ok")]
    assert stage.providers["a"].streams_closed == stage.providers["b"].streams_closed == 1


async def test_a_stream_is_booked_when_it_ends_with_its_real_outcome() -> None:
    stage = Stage("a", prices={"a": 2.0})
    stage.script("a", 0.25)
    ctx = stage.context()
    async for event in stage.router.stream(request(), ctx):
        ended = isinstance(event, StreamEnd)
        assert (ctx.attempts[0].outcome, len(stage.recorder.of("request"))) == (
            ("ok", 1) if ended else ("open", 0)
        )
    assert stage.recorder.of("request")[0][:3] == ("a", "m", "ok")
    assert ctx.ttft == 0.25 and stage.recorder.of("first_token") == [("a", 0.25)]
    assert ctx.cost_usd == pytest.approx(15 * 2 / 1e6)


async def test_a_client_that_hangs_up_closes_the_provider_and_is_charged_for_what_came() -> None:
    stage = Stage("a", prices={"a": 2.0})
    ctx = stage.context()
    stream = stage.router.stream(request(), ctx)
    await anext(stream)
    await anext(stream)
    await stream.aclose()
    assert stage.providers["a"].streams_closed == 1
    assert ctx.attempts[0].outcome == "cancelled" and stage.router.health()["a"].breaker == "closed"
    assert ctx.usage is not None and ctx.usage.estimated and ctx.usage.output_tokens == 2
    assert ctx.cost_usd > 0


async def test_a_stream_that_breaks_counts_against_the_breaker() -> None:
    stage = Stage("a", breaker_failures=1)

    async def dies(*_: object):  # type: ignore[no-untyped-def]
        yield StreamStart("x", "m")
        yield StreamStart("x", "m")
        raise ProviderError("transport", "cut")

    stage.providers["a"].stream = dies  # type: ignore[assignment, method-assign]
    with pytest.raises(ProviderError):
        async for _ in stage.router.stream(request(), stage.context()):
            pass
    assert stage.router.health()["a"].breaker == "open"


async def test_an_adapter_that_just_stops_is_a_cut_stream() -> None:
    stage = Stage("a")

    async def stops(*_: object):  # type: ignore[no-untyped-def]
        yield StreamStart("x", "m")
        yield StreamStart("x", "m")

    stage.providers["a"].stream = stops  # type: ignore[assignment, method-assign]
    ctx = stage.context()
    with pytest.raises(ProviderError, match="cut"):
        async for _ in stage.router.stream(request(), ctx):
            pass
    assert ctx.attempts[0].outcome == "transport"


# --- parts ------------------------------------------------------------------------------------------


def test_the_budget_earns_a_part_of_a_repeat_with_every_call() -> None:
    budget = RetryBudget(ratio=0.5, cap=1.0)
    assert budget.spend() and not budget.spend()
    budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()


def test_jitter_is_anything_up_to_a_doubling_bound_and_a_cap() -> None:
    from random import Random

    rng = Random(1)
    for attempt, bound in ((1, 0.1), (2, 0.2), (3, 0.4), (20, 2.0)):
        drawn = [full_jitter(attempt, 0.1, 2.0, rng) for _ in range(500)]
        assert 0 <= min(drawn) < bound * 0.1 and bound * 0.9 < max(drawn) <= bound


def test_an_attempt_ends_once() -> None:
    stage = Stage("a")
    (target,) = stage.router._models.resolve("a/m")
    pending = stage.router._dispatch.begin(target, stage.context())
    assert isinstance(pending, Pending)
    pending.ok()
    pending.cancelled()
    pending.failed(ProviderError("internal", "x"))
    assert [one[2] for one in stage.recorder.of("request")] == ["ok"] and target.load.in_flight == 0


async def test_a_probe_that_streams_lets_others_in_when_it_has_begun() -> None:
    """It may go on for minutes: a provider that is well again must not refuse everybody for so long."""
    stage = Stage("a", tries_per_target=1, breaker_failures=1)
    stage.script("a", "overloaded")
    with pytest.raises(ProviderError):
        await stage.ask()
    stage.time.now += 30
    probe = stage.router.stream(request(), stage.context())
    await anext(probe)
    assert await stage.ask() == "a"
    second = stage.router.stream(request(), stage.context())
    await anext(second)
    await second.aclose()  # its place is free: nobody else's is
    assert stage.router.health()["a"].breaker == "half_open"
    assert isinstance([event async for event in probe][-1], StreamEnd)
    assert stage.router.health()["a"].breaker == "closed"


@pytest.mark.parametrize(("hurried", "state"), [(True, "closed"), (False, "open")])
async def test_a_deadline_that_the_caller_chose_too_short_opens_no_breaker(hurried: bool, state: str) -> None:
    stage = Stage("a", tries_per_target=1, breaker_failures=1)

    async def slow(*_: object) -> CanonicalResponse:
        await stage.time.sleep(1.0)
        raise ProviderError("timeout", "no answer in time")

    stage.providers["a"].complete = slow  # type: ignore[method-assign]
    ctx = stage.context(seconds=1.0)
    ctx.hurried = hurried
    with pytest.raises(ProviderError):
        await stage.ask(ctx)
    assert stage.router.health()["a"].breaker == state


async def test_a_stream_that_grows_beyond_all_measure_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "MOST_WRITTEN", 9)
    stage = Stage("a")
    ctx, seen = stage.context(), []
    with pytest.raises(ProviderError) as caught:
        async for event in stage.router.stream(request(), ctx):
            seen.append(event)
    assert caught.value.kind == "transport" and len(seen) == 2
    assert stage.providers["a"].streams_closed == 1 and ctx.usage is not None
