"""JSON lines on stdout. Lines of one tick of the event loop leave in one write; other threads write at once.

Prompts, answers and secrets never get here: callers pass identifiers, counts and times.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Any, Final

import orjson

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class JsonLog:
    """The one sink. `write` takes a record ready for orjson; `ts` is seconds since the epoch."""

    def __init__(self, level: str = "info", descriptor: int = 1, **common: str) -> None:
        self.threshold = LEVELS[level]
        self.info_on = self.threshold <= 20
        self._descriptor = descriptor
        self._common = {name: value for name, value in common.items() if value}
        self._lines: list[bytes] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def bind(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Batch per tick of this loop from now on; None goes back to writing at once."""
        self.flush()
        self._loop = loop

    def write(self, level: str, event: str, record: dict[str, Any]) -> None:
        """One line; below the threshold nothing happens."""
        if LEVELS[level] < self.threshold:
            return
        line = {"ts": round(time.time(), 6), "level": level, "event": event, **self._common, **record}
        data = orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE)
        if self._loop is None:
            self._emit(data)
            return
        if not self._lines:
            self._loop.call_soon(self.flush)
        self._lines.append(data)

    def flush(self) -> None:
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
    """Brings what libraries say through `logging` into the same stream, traceback included."""

    def __init__(self, log: JsonLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= 40 else "warning" if record.levelno >= 30 else "info"
        if record.levelno < 20:
            level = "debug"
        fields: dict[str, Any] = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            fields["error"] = logging.Formatter().formatException(record.exc_info)
        self._log.write(level, "log", fields)


def install(log: JsonLog) -> None:
    """Route the standard library's logging through `log`; nothing else writes to stdout."""
    root = logging.getLogger()
    root.handlers = [StandardHandler(log)]
    root.setLevel(log.threshold)
