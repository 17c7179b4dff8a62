"""Exact answers: the same canonical request of the same client, asked again. Pure, but for the clock."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from service.auth.permissions import Principal
from service.providers.base import (
    CanonicalRequest,
    CanonicalResponse,
    StreamEnd,
    StreamEvent,
    StreamStart,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
)

OPT_IN: Final = b"x-superagent-cache"
_encoder: Final = msgspec.msgpack.Encoder()
_PIECE: Final = re.compile(r"\S+\s*|\s+")


class Entry(Struct, array_like=True):
    """A kept answer with what it cost and who gave it."""

    response: CanonicalResponse
    provider: str
    model: str
    cost_usd: float


_decoder: Final = msgspec.msgpack.Decoder(Entry)


class Policy(Struct, frozen=True):
    """Whether this request may be answered from a cache, and its answer kept."""

    read: bool
    write: bool


NEVER: Final = Policy(False, False)
BOTH: Final = Policy(True, True)


def policy(request: CanonicalRequest, headers: dict[bytes, bytes]) -> Policy:
    """Tools may have side effects, so never with them. Above temperature 0 (also by a provider's default) the
    client wants variety, so only when it asks: `X-SuperAgent-Cache: use`. `Cache-Control: no-cache` asks
    afresh and keeps the answer, `no-store` does neither.
    """
    if request.tools:
        return NEVER
    if request.temperature != 0 and headers.get(OPT_IN, b"").lower() != b"use":
        return NEVER
    control = headers.get(b"cache-control")
    if control is None:
        return BOTH
    control = control.lower()
    if b"no-store" in control:
        return NEVER
    return Policy(b"no-cache" not in control, True)


def cache_key(principal: Principal, request: CanonicalRequest) -> str:
    """Within one account only; another `user` (an end user of the client) is another request, too."""
    digest = hashlib.sha256(_encoder.encode(request))
    return account_key(principal.account, digest.hexdigest()[:40])


def account_key(account: str, digest: str) -> str:
    """Where the answer to the account's request of this digest is."""
    return f"sa:{{{account}}}:x:{digest}"


def pack_entry(entry: Entry) -> bytes:
    return _encoder.encode(entry)


def unpack_entry(data: bytes) -> Entry | None:
    """None for what another version wrote."""
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError:
        return None


def replay(response: CanonicalResponse) -> Iterator[StreamEvent]:
    """A kept answer as the stream it could have been, word by word."""
    yield StreamStart(response.id, response.model, response.usage.input_tokens)
    calls = 0
    for part in response.parts:
        if isinstance(part, Text):
            for piece in _PIECE.findall(part.text):
                yield TextDelta(piece)
        elif isinstance(part, Thinking):
            yield ThinkingDelta(part.text, part.signature, part.redacted)
        elif isinstance(part, ToolCall):
            yield ToolCallStart(calls, part.id, part.name, part.signature)
            yield ToolCallDelta(calls, part.arguments)
            calls += 1
    yield StreamEnd(response.finish, response.usage, response.stop_sequence)


class Collector:
    """Puts the events of a stream together into the answer they are."""

    def __init__(self) -> None:
        self._start: StreamStart | None = None
        self._text: list[str] = []
        self._thinking: list[Thinking] = []
        self._thought: list[str] = []  # of the block that is still open

    def add(self, event: StreamEvent) -> None:
        if type(event) is TextDelta:
            self._text.append(event.text)
        elif type(event) is ThinkingDelta:
            self._thought.append(event.text)
            if event.signature or event.redacted:
                self._close(event.signature, event.redacted)
        elif type(event) is StreamStart:
            self._start = event

    def _close(self, signature: str = "", redacted: str = "") -> None:
        self._thinking.append(Thinking("".join(self._thought), signature, redacted))
        self._thought = []

    def whole(self, end: StreamEnd) -> CanonicalResponse:
        start = self._start or StreamStart("", "")
        if any(self._thought):
            self._close()
        written = "".join(self._text)
        return CanonicalResponse(
            id=start.id,
            model=start.model,
            parts=(*self._thinking, Text(written)) if written or not self._thinking else (*self._thinking,),
            finish=end.finish,
            usage=end.usage,
            stop_sequence=end.stop_sequence,
        )
