"""From journal to ledger: every row exactly once, whatever dies in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from service.storage.database import Database, StoreUnavailable
from service.storage.journal import Journal
from service.storage.migrate import migrate
from service.storage.shipper import Shipper
from tests.service.storage.test_journal import row

pytestmark = pytest.mark.component


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    migrate(database_url)
    database = Database(database_url)
    await database.start()
    yield database
    await database.close()


class Ledger:
    """A journal with its shipper, without the background task."""

    def __init__(self, folder: Path, database: Database, segment_bytes: int = 4096) -> None:
        self.rejected: list[str] = []
        self.journal = Journal(folder, segment_bytes)
        self.journal.open()
        self.shipper = Shipper(self.journal, database, self.rejected.append)
        self.shipper._position = self.shipper._read_position()

    async def ship(self) -> None:
        while self.shipper._next()[0]:
            await self.shipper.ship()


async def ids(database: Database) -> list[str]:
    return [one["request_id"] for one in await database.fetch("select request_id from usage order by at")]


async def test_rows_arrive_once_and_in_full(tmp_path: Path, database: Database) -> None:
    ledger = Ledger(tmp_path, database)
    for number in range(100):
        ledger.journal.append(row(number))
    await ledger.ship()
    assert await ids(database) == [f"req_{number}" for number in range(100)]
    stored = await database.fetchrow("select * from usage where request_id = 'req_7'")
    assert stored is not None
    assert (stored["input_tokens"], float(stored["cost_usd"]), stored["stream"]) == (10, 0.001, False)
    ledger.journal.close()


async def test_a_death_between_commit_and_position_ships_twice_and_books_once(
    tmp_path: Path, database: Database
) -> None:
    ledger = Ledger(tmp_path, database)
    for number in range(20):
        ledger.journal.append(row(number))
    await ledger.ship()
    ledger.journal.close()
    (tmp_path / "position").unlink()
    again = Ledger(tmp_path, database)
    again.journal.append(row(20))
    await again.ship()
    assert await ids(database) == [f"req_{number}" for number in range(21)]
    sums = await database.fetchrow("select requests, cost_usd from key_usage")
    assert sums is not None
    assert (sums["requests"], float(sums["cost_usd"])) == (21, 0.021)
    again.journal.close()


async def test_two_nodes_settle_the_same_key_together(tmp_path: Path, database: Database) -> None:
    nodes = [Ledger(tmp_path / name, database) for name in ("a", "b")]
    for number in range(50):
        nodes[number % 2].journal.append(row(number))
    for node in nodes:
        await node.ship()
        node.journal.close()
    sums = await database.fetchrow("select requests from key_usage")
    assert sums is not None and sums["requests"] == 50


async def test_what_postgres_refuses_is_put_aside_and_does_not_block_the_rest(
    tmp_path: Path, database: Database
) -> None:
    ledger = Ledger(tmp_path, database)
    ledger.journal.append(row(1))
    ledger.journal.append(msgspec.structs.replace(row(2), input_tokens=2**70))
    ledger.journal.append(msgspec.structs.replace(row(3), model="nul \0 tab \t and \\. in it"))
    await ledger.ship()
    assert await ids(database) == ["req_1", "req_3"]
    odd = await database.fetchrow("select model from usage where request_id = 'req_3'")
    assert odd is not None and odd["model"] == "nul ? tab ? and ?. in it"
    assert b"req_2" in (tmp_path / "rejected.journal").read_bytes()
    assert len(ledger.rejected) == 1
    ledger.journal.close()


async def test_half_a_line_is_left_where_it_is(tmp_path: Path, database: Database) -> None:
    """A process that dies in the middle of a write, or a disk that is full, leaves one behind."""
    ledger = Ledger(tmp_path, database)
    ledger.journal.append(row(1))
    with ledger.journal.path(ledger.journal.segment).open("ab") as file:
        file.write(row(2).line(b"r")[:-30])
    await ledger.ship()
    assert await ids(database) == ["req_1"]
    assert ledger.rejected == []
    ledger.journal.close()


async def test_while_postgres_is_away_rows_wait(tmp_path: Path, database: Database) -> None:
    ledger = Ledger(tmp_path, Database("postgresql://postgres@127.0.0.1:1/x"))
    ledger.journal.append(row(1))
    with pytest.raises(StoreUnavailable):
        await ledger.ship()
    ledger.journal.close()
    later = Ledger(tmp_path, database)
    await later.ship()
    assert await ids(database) == ["req_1"]
    later.journal.close()


async def test_shipped_segments_go_away_but_not_while_a_stream_of_theirs_is_open(
    tmp_path: Path, database: Database
) -> None:
    ledger = Ledger(tmp_path, database, segment_bytes=500)
    ledger.journal.stream_opened(row(1, stream=True))
    for number in range(2, 30):
        ledger.journal.append(row(number))
    await ledger.ship()
    assert ledger.journal.segments()[0] == 1
    ledger.journal.append(row(1, stream=True))
    await ledger.ship()
    assert len(ledger.journal.segments()) <= 2
    ledger.journal.close()
