"""Server-sent events, parsed as they arrive (WHATWG HTML, 9.2.6).

Only `event` and `data` matter here; `id`, `retry` and comments are read over.
"""

from __future__ import annotations

from typing import Final

EVENT_LIMIT: Final = 8 * 1024 * 1024
BOM: Final = b"\xef\xbb\xbf"

Event = tuple[bytes, bytes]  # (event name or b"", data)


class EventTooLarge(ValueError):
    """One event is larger than any that a model sends."""


class SSEParser:
    """Feed it bytes cut anywhere; it gives the events that are whole."""

    __slots__ = ("_data", "_first", "_limit", "_name", "_rest", "_return", "_size")

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._limit = limit
        self._rest: list[bytes] = []  # of an unfinished line
        self._size = 0  # bytes of the unfinished event
        self._name = b""
        self._data: list[bytes] = []
        self._return = False  # the last byte was \r: a \n right after it belongs to it
        self._first = True

    @property
    def unfinished(self) -> bool:
        """There is an event that no blank line has ended: at the end of a stream, it was cut."""
        return bool(self._data or any(self._rest))

    def feed(self, chunk: bytes) -> list[Event]:
        """The events completed by this chunk. Raises `EventTooLarge`."""
        if self._return and chunk:
            self._return = False
            if chunk[:1] == b"\n":
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._return = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._size += len(chunk)
        if b"\n" not in chunk:
            if chunk:
                self._rest.append(chunk)
            self._check()
            return []
        if self._rest:
            chunk = b"".join([*self._rest, chunk])
            self._rest.clear()
        lines = chunk.split(b"\n")
        last = lines.pop()
        if last:
            self._rest.append(last)
        if self._first:
            self._first = False
            lines[0] = lines[0].removeprefix(BOM)
        events: list[Event] = []
        data = self._data
        for line in lines:
            if not line:
                if data:
                    events.append((self._name, data[0] if len(data) == 1 else b"\n".join(data)))
                    data.clear()
                self._name = b""
                self._size = len(last)
            elif line.startswith(b"data: "):
                data.append(line[6:])
            else:
                self._field(line)
        self._check()
        return events

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value

    def _check(self) -> None:
        if self._size > self._limit:
            raise EventTooLarge(f"an event of the stream is over {self._limit} bytes")
