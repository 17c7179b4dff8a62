"""One row of the usage ledger: what the journal holds and what Postgres gets."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import Struct

COLUMNS: Final = (
    "request_id", "at", "key_id", "endpoint", "model", "provider", "provider_model", "input_tokens",
    "output_tokens", "cached_tokens", "cost_usd", "latency_ms", "ttft_ms", "cache", "outcome",
    "attempts", "stream",
)  # fmt: skip
MAX_TEXT: Final = 200


class UsageRow(Struct, array_like=True, gc=False):
    """`at` is seconds since the epoch. `outcome` is `ok`, `cut` (a stream that broke), `cancelled` (the
    client left), `crashed` (this process died in the middle) or the kind of the provider's error.
    """

    request_id: str
    at: float
    key_id: str
    endpoint: str
    model: str
    provider: str
    provider_model: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: float
    latency_ms: float
    ttft_ms: float | None
    cache: str
    outcome: str
    attempts: int
    stream: bool

    def record(self) -> tuple[Any, ...]:
        """In the order of `COLUMNS`, with the types that COPY wants."""
        return (
            self.request_id,
            datetime.fromtimestamp(self.at, UTC),
            text(self.key_id),
            self.endpoint,
            text(self.model),
            text(self.provider),
            text(self.provider_model),
            self.input_tokens,
            self.output_tokens,
            self.cached_tokens,
            Decimal(f"{self.cost_usd:.9f}"),
            self.latency_ms,
            self.ttft_ms,
            self.cache,
            self.outcome,
            self.attempts,
            self.stream,
        )


def text(value: str) -> str:
    """Postgres takes no NUL, and no surrogates reach it through UTF-8; names are short."""
    return value.replace("\0", "")[:MAX_TEXT]


class Line(Struct, array_like=True):
    """A line of the journal: `open` is True when a stream starts, and the row then holds what is known."""

    open: bool
    row: UsageRow


encoder: Final = msgspec.json.Encoder()
decoder: Final = msgspec.json.Decoder(Line)
