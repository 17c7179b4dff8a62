"""One record for each attempt at a provider that failed; at the level `debug` for every attempt.

A record has names, numbers and kinds of errors. What a provider wrote about its failure is not in it: that
may quote the prompt or the key. The client it belongs to gets it in the answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from service.providers.errors import ProviderError
from service.routing.context import Attempt, CallContext
from service.telemetry.logs import JsonLog

MOST_PER_SECOND: Final = 20  # of one provider and kind: an outage needs no line for each request


class AttemptLog:
    """`all` says that attempts which went well are wanted too."""

    def __init__(self, log: JsonLog, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self.all = log.threshold <= 10
        self._written: dict[tuple[str, str], list[int]] = {}  # second, lines in it, left out since the last

    def write(
        self, ctx: CallContext, attempt: Attempt, model: str, number: int, error: ProviderError | None
    ) -> None:
        left_out = 0 if self.all else self._room(attempt.provider, attempt.outcome)
        if left_out < 0:
            return
        record: dict[str, Any] = {
            "request_id": ctx.request_id,
            "trace_id": ctx.trace.id if ctx.trace is not None else None,
            "provider": attempt.provider,
            "model": model,
            "attempt": number,
            "outcome": attempt.outcome,
            "ms": round(attempt.seconds * 1000, 3),
            "ttft_ms": round(attempt.ttft * 1000, 3) if attempt.ttft is not None else None,
        }
        if error is not None:
            record["http_status"] = error.status
            record["upstream_request_id"] = error.upstream_id or None
            record["retry_after"] = error.retry_after
        if left_out:
            record["left_out"] = left_out
        self._log.write("warning" if error is not None else "debug", "provider", record)

    def _room(self, provider: str, outcome: str) -> int:
        """How many lines were left out before this one; -1 when this one is left out too."""
        second = int(self._clock())
        count = self._written.setdefault((provider, outcome), [second, 0, 0])
        if count[0] != second:
            count[0], count[1] = second, 0
        if count[1] >= MOST_PER_SECOND:
            count[2] += 1
            return -1
        count[1] += 1
        left_out, count[2] = count[2], 0
        return left_out
