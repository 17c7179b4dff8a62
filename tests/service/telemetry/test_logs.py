"""What libraries and the event loop say, as it stands in the log."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.server import _unseen
from service.telemetry.logs import JsonLog, StandardHandler


class Lines:
    def __init__(self, file: Path) -> None:
        self._file = file

    def only(self) -> dict[str, Any]:
        (line,) = self._file.read_text().splitlines()
        record: dict[str, Any] = json.loads(line)
        return record


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Lines]:
    file = tmp_path / "log"
    logger = logging.getLogger("asyncio")
    with file.open("wb") as out:
        handler = StandardHandler(JsonLog("info", out.fileno()))
        logger.addHandler(handler)
        yield Lines(file)
        logger.removeHandler(handler)


def broken() -> None:
    raise ValueError("the client's words")


def test_an_exception_is_told_by_its_place_alone(lines: Lines) -> None:
    try:
        broken()
    except ValueError:
        logging.getLogger("asyncio").exception(
            'it failed\n<Task exception=ValueError("the client\'s words")>'
        )
    record = lines.only()
    assert record["message"] == "it failed" and "words" not in str(record)
    assert record["error"].startswith("ValueError at test_logs.py:") and " broken < " in record["error"]


async def test_a_task_that_nobody_awaits_says_so_without_its_exceptions_text(lines: Lines) -> None:
    async def fail() -> None:
        broken()

    asyncio.get_running_loop().set_exception_handler(_unseen)
    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    del task
    await asyncio.sleep(0)
    record = lines.only()
    assert record["message"] == "Task exception was never retrieved"
    assert record["error"].startswith("ValueError at") and "words" not in str(record)


def test_a_long_message_is_cut(lines: Lines) -> None:
    logging.getLogger("asyncio").warning("x" * 10_000)
    assert len(lines.only()["message"]) == 500
