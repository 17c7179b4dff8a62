"""Try targets until one answers: failover, repeats with jitter, breakers, all inside one deadline.

Nothing here knows what an answer is: `start` makes one attempt and returns its result, or raises
`ProviderError` while nothing has reached the client yet.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, TypeVar

from msgspec import Struct

from service.providers.base import ProviderError, ProvidersUnavailable
from service.providers.config import RoutingConfig
from service.routing.breaker import Permit
from service.routing.context import Attempt, CallContext
from service.routing.recorder import RoutingRecorder
from service.routing.retry import RetryBudget, full_jitter
from service.routing.target import Target
from service.telemetry import genai
from service.telemetry.traces import OUTGOING, Span

Result = TypeVar("Result")
Sleep = Callable[[float], Awaitable[Any]]

# Errors that pass quickly by themselves: worth one more try at the same place before moving on.
PASSING = ("transport", "overloaded", "internal")
SLACK = 0.05  # seconds that a timer may be early


class Pending(Struct, eq=False):
    """An admitted attempt. Exactly one of `ok`, `failed` and `cancelled` ends it; later calls do nothing."""

    target: Target
    attempt: Attempt
    began: float
    _permit: Permit
    _ctx: CallContext
    _number: int
    _recorder: RoutingRecorder
    _clock: Callable[[], float]
    span: Span | None = None
    _open: bool = True
    _begun: bool = False

    def begun(self) -> None:
        """The answer has begun, and may go on for minutes: no probe of the breaker's waits for its end."""
        self._begun = True
        self.target.upstream.breaker.release(self._permit)

    def ok(self) -> None:
        if self._open:
            self.target.upstream.breaker.success(self._permit)
            self._end("ok")

    def failed(self, error: ProviderError) -> None:
        if not self._open:
            return
        target = self.target
        if error.kind == "timeout" and self._ctx.hurried and self._clock() >= self._ctx.deadline - SLACK:
            self._release()
        elif error.handling.breaks:
            target.upstream.breaker.failure(self._permit)
        elif error.kind == "rate_limited":
            target.upstream.breaker.release(self._permit)
            target.load.cool_until = self._clock() + (error.retry_after or 1.0)
        else:
            # It answered, and said that the request is wrong: the provider is well.
            target.upstream.breaker.success(self._permit)
        target.upstream.last_error = str(error)
        self._end(error.kind, error)

    def cancelled(self) -> None:
        if self._open:
            self._release()
            self._end("cancelled")

    def _release(self) -> None:
        if not self._begun:  # else its place is somebody else's by now
            self.target.upstream.breaker.release(self._permit)

    def _end(self, outcome: str, error: ProviderError | None = None) -> None:
        self._open = False
        target, attempt = self.target, self.attempt
        target.load.in_flight -= 1
        attempt.outcome = outcome
        attempt.seconds = self._clock() - self.began
        if self.span is not None:
            if outcome == "ok":
                self.span.close()
            else:
                genai.failed(self.span, outcome)
        self._recorder.ended(self._ctx, attempt, target.label, self._number, error)


class Dispatcher:
    """Holds what all calls share: the budget of repeats, clock and randomness."""

    def __init__(
        self,
        config: RoutingConfig,
        recorder: RoutingRecorder,
        clock: Callable[[], float],
        rng: Random,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._config = config
        self._recorder = recorder
        self._clock = clock
        self._rng = rng
        self._sleep = sleep
        self.budget = RetryBudget(config.retry_budget_ratio, config.retry_budget_floor)

    def begin(self, target: Target, ctx: CallContext) -> Pending | None:
        """A pending attempt, or None when the breaker refuses."""
        permit = target.upstream.breaker.admit()
        if permit is None:
            return None
        attempt, attempts, clock = Attempt(target.upstream.name, target.model), ctx.attempts, self._clock
        attempts.append(attempt)
        number = len(attempts)
        pending = Pending(target, attempt, clock(), permit, ctx, number, self._recorder, clock)
        target.load.in_flight += 1
        if ctx.asked is not None and ctx.trace is not None and ctx.trace.recording is not None:
            pending.span = genai.began(
                ctx.trace.recording, target.upstream.provider, target.label, number, ctx.asked, ctx.span
            )
        return pending

    async def run(
        self,
        targets: Sequence[Target],
        ctx: CallContext,
        start: Callable[[Target, float], Awaitable[Result]],
    ) -> tuple[Result, Pending]:
        """The first result and its attempt, still open: the caller ends it.

        Raises `ProviderError`; `ProvidersUnavailable` when several went wrong in different ways.
        """
        self.budget.earn()
        plan = [(targets[0], 0.0)] if len(targets) == 1 else [(target, 0.0) for target in targets]
        failed = _Failures(self._clock)
        previous: Target | None = None
        while plan and len(ctx.attempts) < self._config.max_attempts:
            target, not_before = plan.pop(0)
            if not_before:
                if not await self._reached(not_before, ctx.deadline):
                    continue
            elif self._clock() >= ctx.deadline or (ctx.attempts and _being_asked(target, ctx)):
                continue
            pending = self.begin(target, ctx)
            if pending is None:
                failed.skipped(target)
                _tell_skipped(target, ctx)
                continue
            if previous is not None and previous.upstream is not target.upstream:
                self._recorder.fallback(previous.upstream.name, target.upstream.name)
                if pending.span is not None:
                    pending.span.attributes["superagent.failover_from"] = previous.upstream.name
            previous = target
            if target.upstream.sends_trace:
                OUTGOING.set(ctx.trace.outgoing(pending.span) if ctx.trace is not None else b"")
            try:
                result = await start(target, ctx.deadline)
            except ProviderError as error:
                pending.failed(error)
                failed.add(target, error)
                if not error.handling.failover:
                    raise
                self._plan_again(plan, target, error, failed.of(target), ctx.deadline)
            except Exception as error:
                unexpected = ProviderError(
                    "internal", f"adapter failed ({type(error).__name__})", provider=target.upstream.name
                )
                pending.failed(unexpected)
                raise unexpected from error
            except BaseException:
                pending.cancelled()
                raise
            else:
                ctx.provider, ctx.model = target.upstream.name, target.model
                return result, pending
        raise failed.verdict(ctx.deadline)

    async def _reached(self, moment: float, deadline: float) -> bool:
        """Wait until `moment`; False when it, or the deadline, is out of reach."""
        now = self._clock()
        if max(moment, now) >= deadline:
            return False
        if moment > now:
            await self._sleep(moment - now)
        return True

    def _plan_again(
        self,
        plan: list[tuple[Target, float]],
        target: Target,
        error: ProviderError,
        tries: int,
        deadline: float,
    ) -> None:
        config = self._config
        if not error.handling.retry or tries >= config.tries_per_target:
            return
        told = error.retry_after or 0.0
        at_once = error.kind in PASSING and told <= config.backoff_cap
        if not at_once and error.kind == "timeout" and plan:
            return
        moment = self._clock() + told + full_jitter(tries, config.backoff_base, config.backoff_cap, self._rng)
        if moment >= deadline or not self.budget.spend():  # nothing is spent on a repeat that cannot be
            return
        again = (target, moment)
        if at_once:
            plan.insert(0, again)
        else:
            plan.append(again)


def _being_asked(target: Target, ctx: CallContext) -> bool:
    """By the other run of a hedged call: to ask twice would be paid twice and tell nothing new."""
    name = target.upstream.name
    return any(one.outcome == "open" and one.provider == name for one in ctx.attempts)


def _tell_skipped(target: Target, ctx: CallContext) -> None:
    if ctx.asked is not None and ctx.trace is not None and ctx.trace.recording is not None:
        span = ctx.span or ctx.trace.recording.root
        span.event("circuit_open", {"superagent.provider": target.upstream.name})


class _Failures(Struct, eq=False):
    """Why nobody answered, and what to tell the client."""

    _clock: Callable[[], float]
    _errors: list[ProviderError] = []
    _reasons: dict[str, str] = {}
    _tries: dict[str, int] = {}
    _wait: float = math.inf

    def of(self, target: Target) -> int:
        """How often this target failed."""
        return self._tries.get(target.name, 0)

    def add(self, target: Target, error: ProviderError) -> None:
        if not error.provider:
            error.provider = target.upstream.name
        self._errors.append(error)
        self._reasons[target.name] = f"{target.name}: {error.kind}"
        self._tries[target.name] = self.of(target) + 1
        if error.retry_after is not None:
            self._wait = min(self._wait, error.retry_after)

    def skipped(self, target: Target) -> None:
        wait = target.upstream.breaker.wait()
        self._wait = min(self._wait, max(wait, 1.0))
        self._reasons.setdefault(target.name, f"{target.name}: circuit open")

    def verdict(self, deadline: float) -> ProviderError:
        kinds = {error.kind for error in self._errors}
        retry_after = None if math.isinf(self._wait) else self._wait
        if not self._reasons or (not kinds and self._clock() >= deadline):
            return ProviderError("timeout", "the time for this request is over")
        if len(kinds) == 1 and len(self._reasons) == len({e.provider for e in self._errors}):
            last = self._errors[-1]
            last.retry_after = retry_after
            return last
        return ProvidersUnavailable(tuple(self._reasons.values()), retry_after)
