"""Work that goes on beside requests for as long as the process lives."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Final

AGAIN_SECONDS: Final = 1.0

_log = logging.getLogger("superagent.background")


def forever(work: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
    """A task of a loop that must never end by an error: it is logged, and the work begins again.

    Without this an exception that nobody foresaw (a driver's, the second its server is killed) ends the task
    in silence, and what it did stays undone until the next start.
    """
    return asyncio.create_task(_keep(work, name), name=name)


async def _keep(work: Callable[[], Awaitable[None]], name: str) -> None:
    while True:
        try:
            await work()
            return
        except Exception as error:
            # The type and the line, not the text: a driver's message may quote values.
            frames = traceback.extract_tb(error.__traceback__)
            place = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else "?"
            _log.error("%s failed with %s at %s and begins again", name, type(error).__name__, place)
        await asyncio.sleep(AGAIN_SECONDS)
