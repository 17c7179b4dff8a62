"""Traces: what a request did and for how long. The sampling decision comes first; a request that is not
sampled has an id for logs and answers, and nothing else.

Attributes hold identifiers, counts, times and kinds of errors: never a prompt, an answer, a key or any other
text that a client or a provider wrote.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from random import Random, SystemRandom
from typing import Any, Final

from msgspec import Struct

from service.telemetry.trace_context import parse_parent, parse_state, render_parent

INTERNAL: Final = 1  # kinds as OTLP numbers them
SERVER: Final = 2
CLIENT: Final = 3

MOST_SPANS: Final = 256  # of one trace: a request has a handful, a debate of many rounds some dozens
MOST_EVENTS: Final = 32  # of one span

# Ids must be unique, not secret: a seed of the system's once, and no system call a request.
_RANDOM: Final = Random(SystemRandom().getrandbits(256))  # noqa: S311 - ids guard nothing
_bits: Final = _RANDOM.getrandbits
_random: Final = _RANDOM.random

Attributes = dict[str, Any]

# Header lines for the attempt that is made in this context, where a provider is configured to get them.
OUTGOING: Final[ContextVar[bytes]] = ContextVar("outgoing_trace", default=b"")


def new_trace_id() -> str:
    return "%032x" % (_bits(128) or 1)


def new_span_id() -> str:
    return "%016x" % (_bits(64) or 1)


class Span:
    """One step. Times are `time.monotonic()` seconds, `end` is 0 while it runs, `error` is its kind."""

    __slots__ = ("attributes", "end", "error", "events", "id", "kind", "name", "parent", "start")

    def __init__(self, name: str, kind: int, parent: str, start: float, attributes: Attributes) -> None:
        self.name = name
        self.kind = kind
        self.parent = parent
        self.id = new_span_id()
        self.start = start
        self.end = 0.0
        self.error = ""
        self.attributes = attributes
        self.events: list[tuple[float, str, Attributes]] = []

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        if len(self.events) < MOST_EVENTS:
            self.events.append((time.monotonic(), name, attributes or {}))

    def close(self, error: str = "") -> None:
        """It is over; `error` says how it failed. Only the first call counts."""
        if not self.end:
            self.end = time.monotonic()
            if error:
                self.error = self.attributes["error.type"] = error


class Recording:
    """The spans of a sampled trace. `wall` plus monotonic nanoseconds are nanoseconds since the epoch."""

    __slots__ = ("left_out", "remote", "root", "spans", "trace_id", "wall")

    def __init__(self, trace_id: str, parent: str, name: str, kind: int, started: float) -> None:
        self.trace_id = trace_id
        self.remote = bool(parent)
        self.root = Span(name, kind, parent, started, {})
        self.spans = [self.root]
        self.left_out = 0
        self.wall = time.time_ns() - time.monotonic_ns()

    def open(
        self, name: str, attributes: Attributes, *, kind: int = INTERNAL, parent: Span | None = None
    ) -> Span:
        """A span that begins now, below the root or `parent`; close it."""
        return self._add(Span(name, kind, (parent or self.root).id, time.monotonic(), attributes))

    def add(self, name: str, began: float, attributes: Attributes) -> Span:
        """A span that began then and is over now."""
        span = self._add(Span(name, INTERNAL, self.root.id, began, attributes))
        span.close()
        return span

    def _add(self, span: Span) -> Span:
        if len(self.spans) < MOST_SPANS:
            self.spans.append(span)
        else:
            self.left_out += 1
        return span


class Trace(Struct, eq=False):
    """What a request carries of its trace; `recording` is None when it is not sampled."""

    id: str
    recording: Recording | None
    _state: bytes = b""

    def outgoing(self, span: Span | None) -> bytes:
        """Header lines for a call that belongs to the trace; `span` is None when it is not sampled."""
        span_id = span.id if span is not None else new_span_id()
        lines = f"traceparent: {render_parent(self.id, span_id, span is not None)}\r\n"
        state = parse_state(self._state) if self._state else ""
        if state:
            lines += f"tracestate: {state}\r\n"
        return lines.encode("ascii")


def admitted(trace: Trace | None, began: float, cache: str, limited: str | None) -> None:
    """The step of limits and cache, begun at `began`; `limited` is the limit that refused the request."""
    if trace is not None and trace.recording is not None:
        attributes: Attributes = {"superagent.cache": cache, "superagent.limited": limited}
        trace.recording.add("limits and cache", began, attributes)


def compared(trace: Trace | None, began: float, hit: bool) -> None:
    """The look into the semantic cache, begun at `began`."""
    if trace is not None and trace.recording is not None:
        trace.recording.add("semantic cache", began, {"superagent.cache": "semantic" if hit else "miss"})


class Tracer:
    """Decides which requests are recorded. `ratio` of them are; with `parent_based`, a caller that sent a
    valid `traceparent` decides by its sampled flag. The decision never looks at the id: callers choose it.
    """

    def __init__(self, ratio: float, parent_based: bool, offer: Callable[[Recording], None]) -> None:
        self._ratio = ratio
        self._parent_based = parent_based
        self._offer = offer

    def begin(self, headers: dict[bytes, bytes], started: float) -> Trace:
        """The trace of a request that came with these headers at `started` (monotonic)."""
        header = headers.get(b"traceparent")
        parent = parse_parent(header) if header is not None else None
        if parent is None:
            identity = new_trace_id()
            if _random() >= self._ratio:
                return Trace(identity, None)
            return Trace(identity, Recording(identity, "", "", SERVER, started))
        state = headers.get(b"tracestate", b"")
        sampled = parent.sampled if self._parent_based else _random() < self._ratio
        if not sampled:
            return Trace(parent.trace_id, None, state)
        recording = Recording(parent.trace_id, parent.span_id, "", SERVER, started)
        return Trace(parent.trace_id, recording, state)

    def start(self, name: str) -> Trace:
        """A trace of work that no request waits for."""
        identity = new_trace_id()
        if _random() >= self._ratio:
            return Trace(identity, None)
        return Trace(identity, Recording(identity, "", name, INTERNAL, time.monotonic()))

    def answered(
        self, recording: Recording, method: str, template: str, status: int, attributes: Attributes
    ) -> None:
        """The request is over. `template` is the route: a path itself may hold what a client wrote."""
        root = recording.root
        root.name = f"{method} {template}" if template else method
        root.attributes |= {"http.request.method": method, "url.scheme": "http", **attributes}
        if template:
            root.attributes["http.route"] = template
        outcome = str(attributes.get("superagent.outcome") or "")
        failed = status >= 500 or outcome == "cut"
        root.close((outcome or str(status)) if failed else "")
        if status:
            root.attributes["http.response.status_code"] = status
        self.finish(recording)

    def finish(self, recording: Recording) -> None:
        """Hand the spans over; what is still open ends with the root."""
        recording.root.close()
        self._offer(recording)
