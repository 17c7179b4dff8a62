"""Errors of servers that speak OpenAI's format, in its five dialects of JSON."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from service.providers.base import ErrorKind, ProviderError
from service.providers.http_client import kind_of_status, text_of

# `code` or `type` of an error body -> kind
KIND_OF_CODE: Final[dict[str, ErrorKind]] = {
    "context_length_exceeded": "context_too_long",
    "exceed_context_size_error": "context_too_long",  # llama.cpp
    "string_above_max_length": "context_too_long",
    "insufficient_quota": "quota",
    "billing_hard_limit_reached": "quota",
    "billing_not_active": "quota",
    "Arrearage": "quota",  # Qwen
    "content_filter": "content_filtered",
    "content_policy_violation": "content_filtered",
    "data_inspection_failed": "content_filtered",  # Qwen
    "DataInspectionFailed": "content_filtered",
    "invalid_api_key": "auth",
    "wrong_api_key": "auth",  # Cerebras
    "model_not_found": "not_found",
    "rate_limit_exceeded": "rate_limited",
    "too_many_requests_error": "rate_limited",
    "overloaded_error": "overloaded",
    "server_error": "internal",
}

# Servers without a code for it say it in words (vLLM, Ollama, DeepSeek).
TOO_LONG: Final = ("maximum context length", "context window", "context length", "context size")


def classify(status: int, headers: dict[bytes, bytes], body: bytes) -> ProviderError:
    """What an error answer means."""
    try:
        parsed: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        parsed = None
    return from_object(parsed, status)


def from_object(parsed: Any, status: int) -> ProviderError:
    """From a decoded body: `{"error": {…}}`, `{"error": "…"}`, or the fields bare (Cerebras, old vLLM)."""
    inner = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    fields: dict[str, Any] = inner if isinstance(inner, dict) else {"message": inner}
    message = text_of(fields.get("message")) or f"the provider answered HTTP {status}"
    code = fields.get("code")
    kind = kind_of_status(status)
    for name in (code, fields.get("type")):
        if isinstance(name, str) and name in KIND_OF_CODE:
            kind = KIND_OF_CODE[name]
            break
        if isinstance(name, int) and status < 400:  # an error inside a stream carries its status here
            kind = kind_of_status(name)
    if kind == "bad_request" and any(words in message.lower() for words in TOO_LONG):
        kind = "context_too_long"
    return ProviderError(kind, message, status=status, param=text_of(fields.get("param"), 100) or None)
