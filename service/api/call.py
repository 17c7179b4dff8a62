"""One call of a model on its way through the API: what it carries, and how it is booked and told."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from service.api.exchange import JSON, Exchange, Headers, header_lines
from service.auth.permissions import Principal
from service.cache import exact
from service.cache.exact import Entry, Policy
from service.limits.limiter import Plan
from service.providers.base import CanonicalRequest, CanonicalResponse
from service.providers.errors import ProviderError
from service.routing.context import CallContext
from service.storage.usage import UsageRow

if TYPE_CHECKING:
    from service.cache.semantic import Look

_HITS: Final = {
    name: (b"x-superagent-cache", name.encode()) for name in ("exact", "semantic", "shared", "miss", "bypass")
}
_LINES: Final[dict[tuple[str | None, int, str], bytes]] = {}


class Call:
    """One call on its way; `cache` is `exact`, `semantic`, `shared`, `miss` or `bypass`."""

    __slots__ = (
        "answer", "cache", "cache_key", "cached", "choices", "ctx", "estimate", "exchange", "free", "outcome",
        "plan", "policy", "principal", "request", "reserved", "similar", "stream",
    )  # fmt: skip

    def __init__(
        self, exchange: Exchange, principal: Principal, request: CanonicalRequest, ctx: CallContext,
        plan: Plan, stream: bool,
    ) -> None:  # fmt: skip
        self.exchange = exchange
        self.principal = principal
        self.request = request
        self.ctx = ctx
        self.plan = plan
        self.stream = stream
        self.policy: Policy = exact.NEVER
        self.cache_key = ""
        self.cache = "bypass"
        self.cached: Entry | None = None
        self.free = False  # answered by what another call paid for
        self.similar: Look | None = None  # how the semantic cache was asked
        self.choices = 1  # answers that were asked for
        self.estimate = 0
        self.reserved = 0
        self.outcome = ""
        self.answer: CanonicalResponse | None = None  # kept to be scored


def usage_row(call: Call, outcome: str) -> UsageRow:
    """The call as the ledger books it."""
    ctx, exchange = call.ctx, call.exchange
    usage = ctx.usage
    return UsageRow(
        exchange.request_id,
        time.time(),
        call.principal.id,
        exchange.template,
        call.request.model,
        ctx.provider or "",
        ctx.model or "",
        usage.input_tokens if usage is not None else 0,
        usage.output_tokens if usage is not None else 0,
        usage.cache_read_tokens if usage is not None else 0,
        0.0 if call.free else ctx.cost_usd,
        exchange.seconds() * 1000,
        ctx.ttft * 1000 if ctx.ttft is not None else None,
        call.cache if call.free else "",
        outcome,
        len(ctx.attempts),
        call.stream,
    )


def outcome_of(error: BaseException) -> str:
    """How the ledger calls a failure."""
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return "cancelled"
    return error.kind if isinstance(error, ProviderError) else "internal"


def route_headers(call: Call) -> Headers:
    """Who answered, after how many attempts, and what the cache had to do with it."""
    ctx = call.ctx
    return [
        (b"x-superagent-provider", (ctx.provider or "").encode()),
        (b"x-superagent-attempts", b"%d" % len(ctx.attempts)),
        _HITS[call.cache],
    ]


def json_lines(call: Call) -> bytes:
    """The same as lines of a head, for an answer in JSON; there are few different ones."""
    ctx = call.ctx
    known = (ctx.provider, len(ctx.attempts), call.cache)
    lines = _LINES.get(known)
    if lines is None:
        if len(_LINES) >= 10_000:
            _LINES.clear()
        lines = _LINES[known] = header_lines([JSON, *route_headers(call)])
    return lines
