"""One paid call of a debate: the account's limits, the model, its fallbacks, and what it cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from msgspec import structs

from service.auth.permissions import Principal
from service.debates.spec import Step
from service.limits.admission import Admission
from service.limits.limiter import Decision, Plan, Plans
from service.providers.base import (
    CanonicalRequest,
    CanonicalResponse,
    EmbeddingRequest,
    EmbeddingResponse,
    Usage,
)
from service.providers.catalog import Price, list_price
from service.providers.errors import ProviderError
from service.providers.tokens import estimate_request, estimate_text
from service.routing.context import CallContext
from service.telemetry.debates import DEBATE

# A turn counts as a request of its key, but not as one more debate.
TURNS: Final = "/v1/debates/turns"
PATIENT_SECONDS: Final = 60.0  # in which a provider that is well answers
Answered = TypeVar("Answered")


class Models(Protocol):
    """What a debate needs of `service.routing`; `embed` and `models` are optional."""

    async def complete(self, request: CanonicalRequest, ctx: CallContext) -> CanonicalResponse: ...


class BudgetSpent(Exception):
    """The key's budget of the month does not allow another call."""


class Calls:
    """Shared by all debates of a process."""

    def __init__(self, router: Models, plans: Plans, admission: Admission) -> None:
        self._router = router
        self._plans = plans
        self._admission = admission
        self.can_embed = getattr(router, "embed", None) is not None
        self._price: Callable[[str], Price | None] = getattr(router, "price", list_price)

    def price(self, target: str, usage: Usage) -> float:
        """The most that these tokens may cost, in USD, as far as the configuration or the catalog knows; else
        0.
        """
        price = self._price(target)
        return price.cost(usage) if price is not None else 0.0

    def estimate(self, target: str, request: CanonicalRequest) -> float:
        """The most that a call may cost: its prompt and the longest answer it may give."""
        return self.price(target, Usage(estimate_request(request), request.max_tokens or 0))

    async def ask(
        self,
        step: Step,
        principal: Principal,
        targets: tuple[str, ...],
        request: CanonicalRequest,
        seconds: float,
        deadline: float,
    ) -> None:
        """Fill in `step` with the first answer of `targets`, each tried for `seconds` at most.

        Raises `BudgetSpent`. A model that fails is no exception: the step is `absent` then.
        """

        async def start(target: str, ctx: CallContext) -> tuple[str, Usage]:
            response = await self._router.complete(structs.replace(request, model=target), ctx)
            return response.text, response.usage

        most = Usage(estimate_request(request), request.max_tokens or 0)
        step.text = await self._first(step, principal, targets, most, seconds, deadline, start) or ""
        if step.status == "ok" and not step.text.strip():
            step.status, step.error = "absent", "the answer was empty"

    async def embed(
        self, step: Step, principal: Principal, target: str, texts: list[str], seconds: float, deadline: float
    ) -> list[list[float]]:
        """One vector a text; none when the step is `absent`. Raises `BudgetSpent`."""

        async def start(model: str, ctx: CallContext) -> tuple[list[list[float]], Usage]:
            embed: Callable[..., Awaitable[EmbeddingResponse]] = self._router.embed  # type: ignore[attr-defined]
            response = await embed(EmbeddingRequest(model=model, inputs=tuple(texts)), ctx)
            return list(response.vectors), response.usage

        most = Usage(sum([estimate_text(text) for text in texts]))
        found = await self._first(step, principal, (target,), most, seconds, deadline, start)
        return found or []

    async def _first(
        self,
        step: Step,
        principal: Principal,
        targets: tuple[str, ...],
        most: Usage,
        seconds: float,
        deadline: float,
        start: Callable[[str, CallContext], Awaitable[tuple[Answered, Usage]]],
    ) -> Answered | None:
        began, tokens = time.monotonic(), most.input_tokens + most.output_tokens
        step.status, step.error = "absent", "the time of the debate is over"
        try:
            for target in targets:
                plan = self._plans.plan(principal, TURNS)
                reserved = round(self.price(target, most) * 1e6) if plan.budget_key else 0
                admitted = await self._admitted(plan, tokens, reserved, deadline)
                if admitted is None:
                    return None
                left = min(seconds, deadline - time.monotonic())
                ctx = CallContext(request_id=step.id, deadline=time.monotonic() + left)
                # Who asks chose the time: its impatience must not open the provider's breaker for all others.
                ctx.hurried = left < PATIENT_SECONDS
                debate = DEBATE.get()
                if debate is not None:
                    ctx.trace, ctx.span = debate.trace, debate.span
                try:
                    answered = await self._one(step, target, ctx, start)
                finally:
                    used = step.input_tokens + step.output_tokens
                    local, cost = admitted.local, ctx.cost_usd
                    self._admission.settle(plan, tokens, used, reserved, cost, local=local)
                if answered is not None:
                    return answered
            return None
        finally:
            step.seconds = time.monotonic() - began

    async def _one(
        self,
        step: Step,
        target: str,
        ctx: CallContext,
        start: Callable[[str, CallContext], Awaitable[tuple[Answered, Usage]]],
    ) -> Answered | None:
        try:
            # The router keeps to the deadline; this is for a provider that does not.
            async with asyncio.timeout(max(0.0, ctx.deadline - time.monotonic()) + 1.0):
                answered, usage = await start(target, ctx)
        except ProviderError as error:
            step.error = f"{error.kind}: {error.message}"
            return None
        except TimeoutError:
            step.error = "timeout: the provider took too long"
            return None
        finally:
            step.attempts += len(ctx.attempts)
            step.provider, step.model = ctx.provider or step.provider, ctx.model or target
            step.cost_usd += ctx.cost_usd  # also of a call that was given up
        step.status, step.error = "ok", ""
        step.input_tokens, step.output_tokens = usage.input_tokens, usage.output_tokens
        return answered

    async def _admitted(self, plan: Plan, tokens: int, reserved: int, deadline: float) -> Decision | None:
        """Wait for the key's rate; None when the deadline comes first."""
        while True:
            decision, _ = await self._admission.admit(plan, tokens, reserved)
            if not decision.scope:
                return decision
            if decision.scope == "budget":
                raise BudgetSpent
            wait = max(0.05, decision.retry_seconds or 0.0)
            if time.monotonic() + wait >= deadline:
                return None
            await asyncio.sleep(wait)
