"""Work beside requests goes on after an error that nobody foresaw."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

import pytest

from service import background
from service.background import forever
from service.storage.database import Database
from service.storage.journal import Journal
from service.storage.shipper import Shipper
from tests.service.storage.test_journal import row


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(background, "AGAIN_SECONDS", 0.001)


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_it_begins_again_and_says_where_it_failed_but_not_with_which_values(caplog):
    done = asyncio.Event()
    begun: list[int] = []

    async def work() -> None:
        begun.append(len(begun))
        if len(begun) < 3:
            raise ValueError("password=hunter2")
        done.set()
        await asyncio.Event().wait()

    with caplog.at_level(logging.ERROR):
        task = forever(work, "what-ships")
        await asyncio.wait_for(done.wait(), 10)
    await end(task)
    assert begun == [0, 1, 2]
    assert "what-ships failed with ValueError at test_background.py:" in caplog.text
    assert "hunter2" not in caplog.text


async def test_a_cancel_ends_it():
    task = forever(asyncio.Event().wait, "waits")  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()


async def test_rows_are_shipped_after_a_drivers_own_error(tmp_path: Path, monkeypatch):
    """Seen with a server that was killed: asyncpg's state machine raised what nothing had listed."""
    journal = Journal(tmp_path)
    journal.open()
    shipped = asyncio.Event()
    calls: list[bytes] = []

    async def copy(self: Shipper, data: bytes) -> None:
        calls.append(data)
        if len(calls) == 1:
            raise RuntimeError("cannot switch to state 15; another operation (2) is in progress")
        shipped.set()

    monkeypatch.setattr(Shipper, "_copy", copy)
    shipper = Shipper(journal, Database("postgresql://nowhere"), lambda text: None)
    await shipper.start()
    journal.append(row(1))
    await asyncio.wait_for(shipped.wait(), 10)
    await shipper.close()
    assert calls[0] == calls[1]
    journal.close()
