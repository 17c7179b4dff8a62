"""One row of the usage ledger. A line of the journal is a line of Postgres' COPY text format, so that the way
from disk to table needs no parsing: https://www.postgresql.org/docs/17/sql-copy.html ("Text Format").
"""

from __future__ import annotations

import functools
import re
from typing import Final

from msgspec import Struct

# The order of a line's fields, after its kind: `o` when a stream starts, `r` for the row itself, `q` for the
# score that a row's answer got later.
COLUMNS: Final = (
    "request_id", "at", "key_id", "endpoint", "model", "provider", "provider_model", "input_tokens",
    "output_tokens", "cached_tokens", "cost_usd", "latency_ms", "ttft_ms", "cache", "outcome",
    "attempts", "stream",
)  # fmt: skip
OUTCOME: Final = 1 + COLUMNS.index("outcome")
OPENED: Final = b"o"
BOOKED: Final = b"r"
SCORED: Final = b"q"
MAX_TEXT: Final = 200
_UNSAFE: Final = re.compile(r"[\\\x00-\x1f\ud800-\udfff]")


class UsageRow(Struct, gc=False):
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

    def line(self, kind: bytes) -> bytes:
        """As the journal and COPY want it."""
        # Decimals as whole numbers with an exponent: formatting a float exactly costs several times as much.
        micros, us = int(self.at * 1e6), int(self.latency_ms * 1e3 + 0.5)
        nano = int(self.cost_usd * 1e9 + 0.5)
        ttft = "\\N" if self.ttft_ms is None else f"{self.ttft_ms:.3f}"
        names = _names(self.key_id, self.endpoint, self.model, self.provider, self.provider_model)
        ending = _ending(self.cache, self.outcome, self.attempts, self.stream)
        fields = (
            f"\t{self.request_id}\t{micros}e-6\t{names}\t{self.input_tokens}\t{self.output_tokens}"
            f"\t{self.cached_tokens}\t{nano}e-9\t{us}e-3\t{ttft}\t{ending}\n"
        )
        return kind + fields.encode()


def quality_line(request_id: str, at: float, score: float) -> bytes:
    """A score in the shape of a row, in the field of the latency: a node of the version before, which may
    inherit this journal by a rollback, copies such lines too and leaves them alone.
    """
    row = UsageRow(request_id, at, "", "", "", "", "", 0, 0, 0, 0.0, score, None, "", "", 0, False)
    return row.line(SCORED)


# These are the same from row to row.


@functools.lru_cache(4096)
def _names(key_id: str, endpoint: str, model: str, provider: str, provider_model: str) -> str:
    names = (text(key_id), endpoint, text(model), text(provider), text(provider_model))
    return "\t".join(names)


@functools.lru_cache(4096)
def _ending(cache: str, outcome: str, attempts: int, stream: bool) -> str:
    return f"{cache}\t{outcome}\t{attempts}\t{'t' if stream else 'f'}"


def text(value: str) -> str:
    """What COPY takes for syntax, and what Postgres cannot hold, becomes `?`; names are short."""
    if len(value) > MAX_TEXT:
        value = value[:MAX_TEXT]
    return _UNSAFE.sub("?", value) if _UNSAFE.search(value) else value
