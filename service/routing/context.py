"""What one call carries through routing, and what it brings back for headers, ledger and logs."""

from __future__ import annotations

from msgspec import Struct, field

from service.providers.base import Usage
from service.telemetry.traces import Attributes, Span, Trace


class Attempt(Struct, gc=False):
    """One try at one provider. `outcome` is "open" while it runs, then "ok", "cancelled" or an error kind."""

    provider: str
    model: str
    outcome: str = "open"
    seconds: float = 0.0
    ttft: float | None = None  # seconds from the start of the try to the first token


class CallContext(Struct, kw_only=True):
    """Filled while the call runs; complete when `complete` returns or the stream ends, however it ends.

    `deadline` is absolute `time.monotonic()` seconds; `hurried`: it is shorter than a provider must be given,
    so that missing it says nothing about the provider. `policy` overrides the configured selection policy for
    this call. `usage` counts what was delivered, also of a stream that broke, and the prompt of a call that
    was given up; `cost_usd` also what attempts cost that another one overtook.
    """

    request_id: str
    deadline: float
    hurried: bool = False
    policy: str | None = None
    trace: Trace | None = None
    span: Span | None = None  # what the attempts happen in; None: the request itself
    # filled by the router
    provider: str | None = None
    model: str | None = None
    attempts: list[Attempt] = field(default_factory=list)
    ttft: float | None = None  # seconds from the start of the call to the first token
    usage: Usage | None = None
    cost_usd: float = 0.0
    asked: Attributes | None = None  # what the span of each attempt says; None: the trace is not recorded
