"""The one error format: `{"error": {"type", "message", "param", "request_id", "retry_after"}}`.

The official OpenAI client reads `type`, `message` and `param` out of it.
"""

from __future__ import annotations

from typing import Final

import orjson

TYPES: Final[dict[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "budget_exceeded_error",
    403: "permission_error",
    404: "not_found_error",
    405: "method_not_allowed_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large_error",
    415: "unsupported_media_type_error",
    429: "rate_limit_error",
    431: "request_too_large_error",
    500: "internal_error",
    502: "provider_error",
    503: "unavailable_error",
    504: "timeout_error",
}


class ApiError(Exception):
    """What the client is told. `param` names the field at fault, `retry_after` is in seconds."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        self.status = status
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.headers = headers
        super().__init__(message)


def payload(error: ApiError, request_id: str) -> dict[str, object]:
    return {
        "type": TYPES.get(error.status, "internal_error"),
        "message": error.message,
        "param": error.param,
        "request_id": request_id,
        "retry_after": error.retry_after,
    }


def body(error: ApiError, request_id: str) -> bytes:
    return orjson.dumps({"error": payload(error, request_id)})


def extra_headers(error: ApiError) -> list[tuple[bytes, bytes]]:
    """`Retry-After` in whole seconds, rounded up, and what 401 must say."""
    headers = list(error.headers)
    if error.retry_after is not None:
        headers.append((b"retry-after", str(max(1, -int(-error.retry_after // 1))).encode()))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers
