"""What can go wrong between here and the upstream."""

from __future__ import annotations

from typing import Literal

UpstreamErrorKind = Literal["connect", "pool", "timeout", "closed", "protocol", "too_large"]


class UpstreamError(Exception):
    """The exchange did not end as HTTP says it should.

    `connect`: no connection (also TLS); `pool`: none free in time; `timeout`: connected but silent;
    `closed`: hung up in the middle; `protocol`: not HTTP; `too_large`: beyond our limits.
    `untouched` is True when not one byte of an answer had come.
    """

    def __init__(self, kind: UpstreamErrorKind, message: str, *, untouched: bool = False) -> None:
        self.kind: UpstreamErrorKind = kind
        self.message = message
        self.untouched = untouched
        super().__init__(kind, message)

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"
