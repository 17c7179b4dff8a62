"""A whole answer of an upstream."""

from __future__ import annotations

from msgspec import Struct


class Response(Struct, frozen=True):
    """A whole answer; header names in lower case, repeated ones joined by a comma."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
