"""What every call of a model goes through, whatever wire format it came in: limits and cache in one round
trip, one provider call for identical requests, one usage row however it ends.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Protocol

from service.api.call import NO_USAGE, Call, log_fields, outcome_of, reservation, usage_row
from service.api.choices import Choices
from service.api.exchange import Exchange
from service.api.flights import Flights
from service.api.refusals import limit_lines, refused
from service.auth.permissions import Principal
from service.cache import exact
from service.cache.exact import Collector, Entry
from service.limits.admission import Admission, Redis
from service.limits.limiter import Plans
from service.providers.base import CanonicalRequest, CanonicalResponse, StreamEnd, StreamEvent
from service.providers.catalog import Price, list_price
from service.providers.errors import ProviderError
from service.quality.scorer import Scorer
from service.routing.context import CallContext
from service.storage.commands import set_for
from service.storage.journal import Journal
from service.telemetry.metrics import Metrics
from service.telemetry.traces import admitted, compared

if TYPE_CHECKING:  # it brings numpy, which is there only where it is on
    from service.cache.semantic import SemanticCache
from service.cache.sharing import Sharing


class Router(Protocol):
    """What the API needs of `service.routing`."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def complete(self, request: CanonicalRequest, ctx: CallContext) -> CanonicalResponse: ...

    def stream(self, request: CanonicalRequest, ctx: CallContext) -> AsyncGenerator[StreamEvent, None]: ...


class Pipeline:
    """Shared by all endpoints that call models."""

    def __init__(
        self,
        router: Router,
        plans: Plans,
        admission: Admission,
        journal: Journal,
        link: Redis | None,
        metrics: Metrics,
        *,
        seconds: float,
        cache_seconds: int,
        cache_bytes: int,
        scorer: Scorer | None = None,
        semantic: SemanticCache | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        self._router = router
        self._price: Callable[[str], Price | None] = getattr(router, "price", list_price)
        self._plans = plans
        self._admission = admission
        self._journal = journal
        self._link = link
        self._seconds = seconds
        self._cache_seconds = cache_seconds
        self._cache_bytes = cache_bytes
        self._scorer = scorer
        self._semantic = semantic
        self._sharing = sharing
        self._flights = Flights(cache_bytes)
        self.choices = Choices(router, journal)
        self._hit = metrics.cache_hits.labels("exact")
        self._miss = metrics.cache_misses.labels("exact")
        self._saved = metrics.cache_saved.labels()
        self._limited = {
            scope: metrics.rate_limited.labels(scope)
            for scope in ("global", "client", "endpoint", "tokens", "budget")
        }

    def keep_answers(self, seconds: int) -> None:
        """From now on answers are kept for so long; 0: none is kept nor looked for."""
        self._cache_seconds = seconds

    async def begin(
        self,
        exchange: Exchange,
        principal: Principal,
        request: CanonicalRequest,
        stream: bool,
        *,
        cacheable: bool = True,
        choices: int = 1,
    ) -> Call:
        """Admit the call and look into the cache. Raises `ApiError` 429 or 402."""
        plan = self._plans.plan(principal, exchange.template)
        trace = exchange.trace
        deadline = exchange.started + self._seconds
        ctx = CallContext(request_id=exchange.request_id, deadline=deadline, trace=trace)
        policy, key = exact.NEVER, ""
        if cacheable and choices == 1 and self._cache_seconds and self._link is not None:
            policy = exact.policy(request, exchange.headers)
            if policy.write:
                key = exact.cache_key(principal, request)
        look = key if policy.read else ""
        tokens, micro = reservation(request, plan, choices, self._price)
        call = Call(exchange, principal, request, ctx, plan, stream, choices, policy, key, tokens, micro)
        began = 0.0 if trace is None or trace.recording is None else time.monotonic()
        decision, found = await self._admission.admit(plan, tokens, micro, look, choices)
        if decision.limit:
            exchange.lines += limit_lines(decision)
        if decision.scope:
            self._limited[decision.scope].inc()
            if began:
                admitted(trace, began, call.cache, decision.scope)
            raise refused(decision)
        call.local = decision.local
        if look:
            call.cache = "miss"
            entry = exact.unpack_entry(found) if found is not None else None
            if entry is not None:
                self._found(call, entry, "exact")
        if began:
            admitted(trace, began, call.cache, None)
        exchange.watch_disconnect()
        return call

    def _found(self, call: Call, entry: Entry, how: str) -> None:
        call.cached, call.cache, call.free = entry, how, True
        ctx = call.ctx
        ctx.provider, ctx.model, ctx.usage = entry.provider, entry.model, entry.response.usage
        if how != "semantic":  # which counts itself
            self._hit.value += 1
        self._saved.value += entry.cost_usd

    async def _similar(self, call: Call, semantic: SemanticCache) -> Entry | None:
        """The answer to a question that means the same; asked after the exact cache has said no."""
        trace = call.ctx.trace
        began = 0.0 if trace is None or trace.recording is None else time.monotonic()
        call.similar = await semantic.look(call.principal.account, call.request, call.cache_key)
        entry = call.similar.entry if call.similar is not None else None
        if began:
            compared(trace, began, entry is not None)
        if entry is not None:
            self._found(call, entry, "semantic")
        return entry

    # --- whole answers

    async def complete(self, call: Call) -> CanonicalResponse:
        """The answer, from the cache, from an identical call on its way, or from a provider. A failure is
        booked here, a success by `end`, which the caller calls when the answer is rendered.
        """
        try:
            if call.cached is not None:
                return call.cached.response
            if not call.policy.read or not call.cache_key:
                response = await self._router.complete(call.request, call.ctx)
                if call.policy.write:
                    self._keep(call, response)
                if self._scorer is not None and self._scorer.wants():
                    call.answer = response
                return response
            while (flight := self._flights.find(call.cache_key)) is not None:
                entry = await flight.follow(call)
                if entry is not None:
                    if flight.payer is not call:
                        self._found(call, entry, "shared")
                    return entry.response
            return await self._lead(call)
        except BaseException as error:
            self.end(call, outcome_of(error))
            raise

    async def _lead(self, call: Call) -> CanonicalResponse:
        flight = self._flights.begin(call)
        outcome: Entry | ProviderError | None = None
        try:
            if self._sharing is not None:
                outcome = await self._sharing.wait(call.cache_key, call.plan.tag, call.ctx.deadline)
                if outcome is not None:
                    self._found(call, outcome, "shared")
                    return outcome.response
            self._miss.value += 1
            if self._semantic is not None:
                outcome = await self._similar(call, self._semantic)
                if outcome is not None:
                    return outcome.response
            response = await self._router.complete(call.request, call.ctx)
            outcome = self._keep(call, response)
        except ProviderError as error:
            outcome = error
            raise
        finally:
            if self._sharing is not None:
                self._sharing.release(call.cache_key)
            self._flights.land(call, flight, outcome)
        if self._scorer is not None and self._scorer.wants():
            call.answer = response
        return response

    def _keep(self, call: Call, response: CanonicalResponse) -> Entry:
        ctx = call.ctx
        entry = Entry(response, ctx.provider or "", ctx.model or "", ctx.cost_usd)
        kept = response.finish in ("stop", "stop_sequence", "length") and self._cache_seconds > 0
        if kept and self._link is not None:
            data = exact.pack_entry(entry)
            if len(data) <= self._cache_bytes:
                self._link.post(set_for(call.cache_key, data, self._cache_seconds), 1, call.plan.tag)
                if self._semantic is not None and call.similar is not None:
                    self._semantic.keep(call.similar, call.cache_key, self._cache_seconds)
        return entry

    # --- streams

    async def stream(self, call: Call) -> AsyncGenerator[StreamEvent, None]:
        """Events; the journal knows of the stream from its first event on."""
        if call.cached is not None:
            for event in exact.replay(call.cached.response):
                yield event
            return
        if call.policy.read and call.cache_key:
            if self._semantic is not None:
                entry = await self._similar(call, self._semantic)
                if entry is not None:
                    self._miss.inc()
                    for event in exact.replay(entry.response):
                        yield event
                    return
            flight = self._flights.stream(call, self._router.stream)
            (self._miss if flight.leader is call else self._hit).inc()
            events = flight.read(call)
        else:
            events = self._router.stream(call.request, call.ctx)
        scored = self._scorer is not None and self._scorer.wants()
        collector = Collector() if call.policy.write or scored else None
        try:
            first = True
            async for event in events:
                if first:
                    first = False
                    self._journal.stream_opened(usage_row(call, "open"))
                if collector is not None:
                    if type(event) is StreamEnd:
                        response = collector.whole(event)
                        if call.free:
                            self._saved.inc(flight.leader.ctx.cost_usd)
                        elif call.policy.write:
                            self._keep(call, response)
                        if scored:
                            call.answer = response
                    else:
                        collector.add(event)
                yield event
        finally:
            await events.aclose()

    # --- the end

    def end(self, call: Call, outcome: str) -> None:
        """Book the call, once: the journal has the row when this returns."""
        if call.outcome:
            return
        call.outcome = outcome
        ctx, exchange = call.ctx, call.exchange
        if outcome == "ok" or ctx.attempts or call.free:  # a model that does not exist is nobody's usage
            self._journal.append(usage_row(call, outcome))
            if call.answer is not None and outcome == "ok" and self._scorer is not None:
                self._scorer.offer(exchange.request_id, ctx.provider or "", call.request, call.answer)
        if call.estimate:
            usage = ctx.usage or NO_USAGE
            used = usage.input_tokens + usage.output_tokens
            cost = 0.0 if call.free else ctx.cost_usd
            self._admission.settle(call.plan, call.estimate, used, call.reserved, cost, local=call.local)
        exchange.fields |= log_fields(call, outcome)
