"""JSON lines on stdout. Lines of a few milliseconds leave in one write, warnings and errors with this tick of
the event loop.

Prompts, answers and secrets never get here: callers pass identifiers, counts and times.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import traceback
from typing import Any, Final

import orjson

BATCH_SECONDS: Final = 0.01
MESSAGE_LIMIT: Final = 500  # of what libraries say
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class JsonLog:
    """The one sink. `write` takes a record ready for orjson; `ts` is seconds since the epoch."""

    def __init__(self, level: str = "info", descriptor: int = 1, **common: str) -> None:
        self.threshold = LEVELS[level]
        self.info_on = self.threshold <= 20
        self._descriptor = descriptor
        known = orjson.dumps({name: value for name, value in common.items() if value})[1:-1]
        self._common = b"," + known if known else b""
        self._starts: dict[tuple[str, str], bytes] = {}
        self._lines: list[bytes] = []
        self._urgent = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def bind(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Batch per tick of this loop from now on; None goes back to writing at once."""
        self.flush()
        self._loop = loop

    def write(self, level: str, event: str, record: dict[str, Any]) -> None:
        """One line; below the threshold nothing happens."""
        if LEVELS[level] < self.threshold:
            return
        micros = b"%d" % (time.time_ns() // 1000)
        start = self._starts.get((level, event)) or self._start(level, event)
        rest = orjson.dumps(record, default=str, option=orjson.OPT_APPEND_NEWLINE)
        comma = b"," if record else b""
        data = b"".join((b'{"ts":', micros[:-6], b".", micros[-6:], start, comma, rest[1:]))
        if self._loop is None:
            self._emit(data)
            return
        if level == "info" or level == "debug":
            if not self._lines:
                self._loop.call_later(BATCH_SECONDS, self.flush)
        elif not self._urgent:
            self._urgent = True
            self._loop.call_soon(self.flush)
        self._lines.append(data)

    def _start(self, level: str, event: str) -> bytes:
        made = b',"level":%b,"event":%b%b' % (orjson.dumps(level), orjson.dumps(event), self._common)
        if len(self._starts) < 1000:
            self._starts[(level, event)] = made
        return made

    def flush(self) -> None:
        self._urgent = False
        lines, self._lines = self._lines, []
        if lines:
            self._emit(b"".join(lines))

    def _emit(self, data: bytes) -> None:
        # A closed or full stdout must not take requests down with it.
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            pass


class StandardHandler(logging.Handler):
    """Brings what libraries say through `logging` into the same stream, with the place of an exception."""

    def __init__(self, log: JsonLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= 40 else "warning" if record.levelno >= 30 else "info"
        if record.levelno < 20:
            level = "debug"
        # asyncio's later lines show tasks and their exceptions, which quote whatever was in play.
        message = record.getMessage().partition("\n")[0][:MESSAGE_LIMIT]
        fields: dict[str, Any] = {"logger": record.name, "message": message}
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = where(record.exc_info[1])
        self._log.write(level, "log", fields)


def where(error: BaseException) -> str:
    """Where it happened, without the values that were in play: those may be prompts or secrets."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [
        f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in reversed(frames)
    ]
    return f"{type(error).__name__} at {' < '.join(places)}"[:2000]


def install(log: JsonLog) -> None:
    """Route the standard library's logging through `log`; nothing else writes to stdout."""
    root = logging.getLogger()
    root.handlers = [StandardHandler(log)]
    root.setLevel(log.threshold)
