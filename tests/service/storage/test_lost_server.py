"""A server that is killed in the middle of anything is one kind of failure, and nothing is lost by it."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from service.storage.database import Database, StoreUnavailable
from service.storage.journal import Journal
from service.storage.migrate import migrate
from service.storage.shipper import Shipper
from tests.parts import wait_until
from tests.service.storage.test_journal import row
from tests.service.stores import Postgres, postgres

pytestmark = [pytest.mark.component, pytest.mark.timeout(300)]
KILLS = 8
WRITERS = 3


def kill(store: Postgres, number: int) -> None:
    """In turns: as a lost machine looks, and `kill -9` of the postmaster, whose children end later."""
    if number % 2:
        store.kill()
    else:
        assert store.process is not None
        store.process.send_signal(signal.SIGKILL)
        store.process.wait(20)
        wait_until(store.gone, "the last child has ended")
    store.start()


async def test_only_one_kind_of_failure_and_every_row_once(tmp_path: Path) -> None:
    with postgres() as store:
        migrate(store.url)
        database = Database(store.url)
        await database.start()
        seen: Counter[str] = Counter()
        written: set[str] = set()
        ending = asyncio.Event()

        async def write(name: int) -> None:
            journal = Journal(tmp_path / str(name))
            journal.open()
            shipper = Shipper(journal, database, lambda text: None)
            number = 0
            while not ending.is_set() or shipper._next()[0]:
                if not ending.is_set():
                    number += 1
                    identity = f"req_{name}_{number}"
                    journal.append(msgspec.structs.replace(row(number), request_id=identity))
                    written.add(identity)
                try:
                    await shipper.ship()
                except StoreUnavailable:
                    seen["unavailable"] += 1
                except Exception as error:
                    seen[type(error).__name__] += 1
                await asyncio.sleep(0.002)
            journal.close()

        writers = [asyncio.create_task(write(name)) for name in range(WRITERS)]
        for number in range(KILLS):
            await asyncio.sleep(0.3)  # some rows between two deaths
            await asyncio.to_thread(kill, store, number)
        ending.set()
        await asyncio.wait_for(asyncio.gather(*writers), 60)
        assert set(seen) == {"unavailable"}
        stored = [one["request_id"] for one in await database.fetch("select request_id from usage")]
        assert Counter(stored) == Counter(written)
        await database.close()
