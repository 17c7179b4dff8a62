"""Scores reach the ledger beside the usage they belong to, by the journal, and nobody waits for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from service.quality.scorer import MOST_WAITING, Scorer
from service.storage.journal import Journal
from tests.service.api.test_admin import bearer, until
from tests.service.quality.test_score import GOOD, asked, said
from tests.service.running import Running, prepare, running
from tests.service.storage.test_shipper import Ledger, database

pytestmark = pytest.mark.component
__all__ = ["database"]


class World:
    def __init__(self, service: Running, client: httpx.AsyncClient, key: str) -> None:
        self.service, self.client, self.key = service, client, key

    async def ask(self, text: str, *, stream: bool = False) -> str:
        body = {"model": "m", "messages": [{"role": "user", "content": text}], "stream": stream}
        answer = await self.client.post("/v1/chat/completions", json=body, headers=bearer(self.key))
        assert answer.status_code == 200
        return answer.headers["x-request-id"]

    async def usage(self, groups: str = "endpoint") -> dict[str, object]:
        answer = await self.client.get("/v1/usage", params={"group_by": groups}, headers=bearer(self.key))
        rows: list[dict[str, object]] = answer.json()["data"]
        return rows[0] if rows else {}


@pytest_asyncio.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    key = prepare(database_url, "admin")
    async with (
        running(database_url, QUALITY_SAMPLE="1") as service,
        httpx.AsyncClient(base_url=service.url) as client,
    ):
        yield World(service, client, key)


async def test_whole_answers_and_streams_are_scored_and_averaged(world: World) -> None:
    await world.ask("the fake router says this back to us")
    await world.ask("and this one word by word, please", stream=True)

    async def scored() -> bool:
        return (await world.usage()).get("scored") == 2

    await until(scored)
    row = await world.usage()
    assert isinstance(row["quality"], float) and 0.9 < row["quality"] <= 1
    page = world.service.service.metrics.answer_quality
    assert [
        sample.value for sample in next(iter(page.collect())).samples if sample.name.endswith("_count")
    ] == [2]


async def test_without_a_sample_nothing_is_scored(database_url: str) -> None:
    key = prepare(database_url, "admin")
    async with running(database_url) as service, httpx.AsyncClient(base_url=service.url) as client:
        assert service.service.scorer is None
        world = World(service, client, key)
        await world.ask("hello")

        async def booked() -> bool:
            return (await world.usage()).get("requests") == 1

        await until(booked)
        assert (await world.usage())["quality"] is None


async def test_a_score_is_shipped_once_and_a_repeated_journal_changes_nothing(
    tmp_path: Path, database_url: str, database: object
) -> None:
    from tests.service.storage.test_journal import row

    ledger = Ledger(tmp_path, database)  # type: ignore[arg-type]
    ledger.journal.append(row(1))
    ledger.journal.append(row(2))
    await ledger.ship()
    ledger.journal.scored("req_1", 1.0, 0.25)  # its row is in the table already
    ledger.journal.append(row(3))
    ledger.journal.scored("req_3", 2.0, 0.5)  # its row is in the same batch
    await ledger.ship()
    (tmp_path / "position").unlink()
    ledger.shipper._position = ledger.shipper._read_position()
    await ledger.ship()
    found = await ledger.shipper._database.fetch("select request_id, quality from usage order by request_id")
    assert {one["request_id"]: one["quality"] for one in found} == {
        "req_1": 0.25,
        "req_2": None,
        "req_3": 0.5,
    }
    assert ledger.rejected == []
    assert ledger.journal.pending == 0


async def test_rows_are_shipped_into_a_schema_that_has_no_column_for_scores_yet(
    tmp_path: Path, database_url: str, database: object
) -> None:
    from tests.service.storage.test_journal import row

    ledger = Ledger(tmp_path, database)  # type: ignore[arg-type]
    await ledger.shipper._database.execute("alter table usage drop column quality")
    ledger.journal.append(row(1))
    ledger.journal.scored("req_1", 1.0, 0.25)
    await ledger.ship()
    assert len(await ledger.shipper._database.fetch("select 1 from usage")) == 1
    assert ledger.rejected == []


async def test_under_load_answers_go_unscored_and_memory_stays_bounded(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.open()
    heard: list[float] = []
    scorer = Scorer(journal, 1.0, lambda provider, score: heard.append(score))
    offered = 0
    for number in range(2 * MOST_WAITING):
        if scorer.wants():
            scorer.offer(f"req_{number}", "p", asked(), said(GOOD))
            offered += 1
    assert offered == MOST_WAITING
    await scorer.close()  # what waits is not thrown away at the end
    assert len(heard) == MOST_WAITING
    journal.close()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_sample_is_the_share_that_was_asked_for(tmp_path: Path, share: float) -> None:
    from random import Random

    scorer = Scorer(Journal(tmp_path), share, lambda provider, score: None, Random(7))
    assert sum(scorer.wants() for _ in range(10_000)) == pytest.approx(10_000 * share, abs=200)
