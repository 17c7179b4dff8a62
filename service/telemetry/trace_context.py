"""The headers `traceparent` and `tracestate`, read as strictly as W3C's Trace Context (level 2) says.

https://www.w3.org/TR/trace-context-2/. What breaks a rule counts as not sent: the trace begins anew here.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

STATE_LIMIT: Final = 512  # characters that must be passed on; whole entries beyond it are left out
ENTRY_LIMIT: Final = 128  # entries longer than this are the first to go
MOST_ENTRIES: Final = 32
SAMPLED: Final = b"13579bdf"  # last digits of flags whose lowest bit is set

_PARENT: Final = re.compile(
    rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x20-\x7e]*)?", re.ASCII
)
_ENTRY: Final = re.compile(
    r"([a-z0-9][a-z0-9_\-*/@]{0,255})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])"
)


class Parent(NamedTuple):
    """The caller's span: ids in lower-case hex, and whether the caller records it."""

    trace_id: str
    span_id: str
    sampled: bool


def parse_parent(header: bytes) -> Parent | None:
    """The caller's span, or None for a header that is not valid. Later versions may say more at the end."""
    found = _PARENT.fullmatch(header)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    if trace_id == b"0" * 32 or span_id == b"0" * 16:
        return None
    return Parent(trace_id.decode(), span_id.decode(), flags[1] in SAMPLED)


def parse_state(header: bytes) -> str:
    """The vendors' entries as they are passed on; "" when one of them breaks a rule.

    Of a key that stands there twice the first counts: the left one is the newer.
    """
    try:
        members = [member.strip(" \t") for member in header.decode("ascii").split(",")]
    except UnicodeDecodeError:
        return ""
    entries: dict[str, str] = {}
    for member in members:
        if not member:
            continue
        found = _ENTRY.fullmatch(member)
        if found is None:
            return ""
        entries.setdefault(found[1], member)
    if len(entries) > MOST_ENTRIES:
        return ""
    return ",".join(_shortened(list(entries.values())))


def _shortened(entries: list[str]) -> list[str]:
    def length() -> int:
        return sum([len(entry) + 1 for entry in entries]) - 1

    if length() > STATE_LIMIT:
        entries = [entry for entry in entries if len(entry) <= ENTRY_LIMIT]
    while length() > STATE_LIMIT:
        entries.pop()
    return entries


def render_parent(trace_id: str, span_id: str, sampled: bool) -> str:
    """The header for the next one in line, in version 00."""
    return f"00-{trace_id}-{span_id}-{'01' if sampled else '00'}"
