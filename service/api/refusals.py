"""What limits say to the client: the X-RateLimit headers, and the answer when there is no more."""

from __future__ import annotations

from typing import Final

from service.api.errors import ApiError
from service.limits.limiter import Decision


def limit_lines(decision: Decision) -> bytes:
    """The X-RateLimit headers as lines of a head."""
    return b"x-ratelimit-limit: %d\r\nx-ratelimit-remaining: %d\r\nx-ratelimit-reset: %d\r\n" % (
        decision.limit,
        decision.remaining,
        -int(-decision.reset_seconds // 1),
    )


_REFUSALS: Final[dict[str, str]] = {
    "global": "This service is at its limit of requests; try again later.",
    "client": "Too many requests for this key; try again later.",
    "endpoint": "Too many requests of this kind for this key; try again later.",
    "tokens": "Too many tokens per minute for this key; try again later or send less.",
}


def refused(decision: Decision) -> ApiError:
    if decision.scope == "budget":
        return ApiError(402, "This key's budget for the month is spent; raise it or wait for the next month.")
    return ApiError(429, _REFUSALS[decision.scope], retry_after=round(decision.retry_seconds or 0, 3))
