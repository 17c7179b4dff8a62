"""What a call used and cost, told to its context and to the metrics."""

from __future__ import annotations

from collections.abc import Sequence

from service.providers.base import CanonicalRequest, Usage
from service.providers.tokens import estimate_request
from service.routing.context import CallContext
from service.routing.recorder import RoutingRecorder
from service.routing.target import Target


class Charges:
    """Costs add up: a hedged call pays for more than the answer it got."""

    def __init__(self, recorder: RoutingRecorder) -> None:
        self._recorder = recorder

    def settle(self, target: Target, usage: Usage, ctx: CallContext) -> None:
        """What was delivered, by this target."""
        ctx.usage = usage
        self._charge(target, usage, ctx)

    def overtaken(
        self, targets: Sequence[Target], request: CanonicalRequest, ctx: CallContext
    ) -> Usage | None:
        """Charge attempts that were hung up on before an answer, and return what each is charged for. No
        provider tells what such a one costs, and each has read the prompt: that much is booked, by estimate.
        """
        prompt = None
        for attempt in ctx.attempts:
            if attempt.outcome == "cancelled":
                prompt = prompt or Usage(estimate_request(request), estimated=True)
                asked = (attempt.provider, attempt.model)
                target = next(one for one in targets if (one.upstream.name, one.model) == asked)
                self._charge(target, prompt, ctx)
        return prompt

    def given_up(self, targets: Sequence[Target], request: CanonicalRequest, ctx: CallContext) -> None:
        """The caller left before there was an answer: else it could have prompts read for nothing."""
        ctx.usage = self.overtaken(targets, request, ctx)
        if ctx.usage is not None:
            ctx.provider, ctx.model = ctx.attempts[-1].provider, ctx.attempts[-1].model

    def _charge(self, target: Target, usage: Usage, ctx: CallContext) -> None:
        price = target.info.price if target.info is not None else None
        cost = price.cost(usage) if price is not None else 0.0
        ctx.cost_usd += cost
        self._recorder.usage(target.upstream.name, target.label, usage, cost)
