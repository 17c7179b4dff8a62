"""Cross-origin requests from browsers: only from configured origins, and never with cookies."""

from __future__ import annotations

from typing import Final

Headers = list[tuple[bytes, bytes]]

METHODS: Final = b"GET, POST, PUT, DELETE, OPTIONS"
ALLOWED: Final = (
    b"authorization, content-type, x-api-key, cache-control, x-superagent-cache, anthropic-version, "
    b"traceparent, tracestate"
)
EXPOSED: Final = (
    b"x-request-id, x-trace-id, x-superagent-provider, x-superagent-attempts, x-superagent-cache, retry-after"
)


class Cors:
    """`*` allows every origin: credentials travel in headers that scripts set, not in cookies."""

    def __init__(self, origins: list[str]) -> None:
        self._any = "*" in origins
        self._origins = frozenset(one.encode() for one in origins)

    def headers(self, request: dict[bytes, bytes]) -> Headers:
        """What an answer to this request carries; empty when it is not cross-origin or not allowed."""
        origin = request.get(b"origin")
        if origin is None or not (self._any or origin in self._origins):
            return []
        if self._any:
            return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", EXPOSED)]
        return [
            (b"access-control-allow-origin", origin),
            (b"vary", b"origin"),
            (b"access-control-expose-headers", EXPOSED),
        ]

    def preflight(self, request: dict[bytes, bytes]) -> Headers | None:
        """Headers of the answer to a preflight; None when the origin may not call."""
        allowed = self.headers(request)
        if not allowed:
            return None
        return [
            *allowed,
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", ALLOWED),
            (b"access-control-max-age", b"600"),
        ]
