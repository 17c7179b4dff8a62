"""Reports are read from the replica, and from the primary when the replica does not answer."""

from __future__ import annotations

from typing import Any

from service.api.usage import UsageReport
from service.storage.database import StoreUnavailable


class Store:
    """Answers with its name; `away`: not at all."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.away = False

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        if self.away:
            raise StoreUnavailable("postgres")
        return [self.name]


async def test_reports_are_read_from_the_replica_while_it_answers() -> None:
    primary, replica = Store("primary"), Store("replica")
    report = UsageReport(None, primary, replica)  # type: ignore[arg-type]
    assert await report._read("select 1", []) == ["replica"]
    replica.away = True
    assert await report._read("select 1", []) == ["primary"]
    assert await UsageReport(None, primary, None)._read("select 1", []) == ["primary"]  # type: ignore[arg-type]
