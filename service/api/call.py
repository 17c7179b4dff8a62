"""One call of a model on its way through the API: what it carries, and how it is booked and told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from service.api.exchange import JSON, Exchange, Headers, header_lines
from service.auth.permissions import Principal
from service.cache import exact
from service.cache.exact import Entry, Policy
from service.limits.limiter import Plan
from service.providers.base import CanonicalRequest, CanonicalResponse, Usage
from service.providers.catalog import Price
from service.providers.errors import ProviderError
from service.providers.tokens import estimate_request
from service.routing.context import CallContext
from service.storage.usage import UsageRow

if TYPE_CHECKING:
    from service.cache.semantic import Look

_HITS: Final = {
    name: (b"x-superagent-cache", name.encode()) for name in ("exact", "semantic", "shared", "miss", "bypass")
}
NO_USAGE: Final = Usage()
# Reserved for an answer whose length the client did not bound, until its usage is known.
UNBOUNDED_ANSWER_TOKENS: Final = 512
_LINES: Final[dict[tuple[str | None, int, str], bytes]] = {}


class Call(Struct, eq=False):
    """One call on its way; `cache` is `exact`, `semantic`, `shared`, `miss` or `bypass`."""

    exchange: Exchange
    principal: Principal
    request: CanonicalRequest
    ctx: CallContext
    plan: Plan
    stream: bool
    choices: int = 1  # answers that were asked for
    policy: Policy = exact.NEVER
    cache_key: str = ""
    estimate: int = 0  # tokens that are reserved
    reserved: int = 0  # micro-USD that are
    cache: str = "bypass"
    cached: Entry | None = None
    free: bool = False  # answered by what another call paid for
    similar: Look | None = None  # how the semantic cache was asked
    local: bool = False  # admitted while Redis was away
    outcome: str = ""
    answer: CanonicalResponse | None = None  # kept to be scored


def reservation(
    request: CanonicalRequest, plan: Plan, choices: int, price_of: Callable[[str], Price | None]
) -> tuple[int, int]:
    """Tokens and micro-USD that the call may need: charged before it runs, so that concurrent calls cannot
    all slip through. `price_of` knows what a name may be charged at, also an alias.
    """
    if plan.tokens is None and not plan.budget_key:
        return 0, 0
    read, written = estimate_request(request), request.max_tokens or UNBOUNDED_ANSWER_TOKENS
    micro = 0
    if plan.budget_key:
        price = price_of(request.model)
        if price is not None:
            micro = round(price.cost(Usage(read, written)) * choices * 1e6)
    return (read + written) * choices, micro


def usage_row(call: Call, outcome: str) -> UsageRow:
    """The call as the ledger books it."""
    ctx, exchange = call.ctx, call.exchange
    usage = ctx.usage or NO_USAGE
    return UsageRow(
        exchange.request_id,
        time.time(),
        call.principal.id,
        exchange.template,
        call.request.model,
        ctx.provider or "",
        ctx.model or "",
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        0.0 if call.free else ctx.cost_usd,
        (time.monotonic() - exchange.started) * 1000,
        ctx.ttft * 1000 if ctx.ttft is not None else None,
        call.cache if call.free else "",
        outcome,
        len(ctx.attempts),
        call.stream,
    )


def log_fields(call: Call, outcome: str) -> dict[str, Any]:
    """What the log line of its request says about the call."""
    ctx = call.ctx
    fields: dict[str, Any] = {
        "outcome": outcome,
        "provider": ctx.provider,
        "model": ctx.model,
        "cache": call.cache,
        "attempts": len(ctx.attempts),
    }
    if ctx.usage is not None:
        fields["input_tokens"] = ctx.usage.input_tokens
        fields["output_tokens"] = ctx.usage.output_tokens
    if ctx.ttft is not None:
        fields["ttft_ms"] = round(ctx.ttft * 1000, 3)
    return fields


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
