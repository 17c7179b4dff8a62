"""Migrations: idempotent, safe from many nodes at once, and quiet about the URL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from service.storage.migrate import MIGRATIONS, MigrationFailed, for_dbmate, migrate

pytestmark = pytest.mark.component


def test_a_second_run_applies_nothing(database_url: str) -> None:
    assert migrate(database_url) == sorted(path.name for path in MIGRATIONS.glob("*.sql"))
    assert migrate(database_url) == []


def test_nodes_that_start_together_apply_each_file_once(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = [name for names in pool.map(migrate, [database_url] * 4) for name in names]
    assert sorted(applied) == sorted(path.name for path in MIGRATIONS.glob("*.sql"))


def test_the_url_is_not_in_the_error() -> None:
    with pytest.raises(MigrationFailed) as caught:
        migrate("postgresql://user:hunter2@127.0.0.1:1/x", wait_seconds=1)
    assert "hunter2" not in str(caught.value)


def test_tls_is_the_default_away_from_loopback() -> None:
    assert for_dbmate("postgresql://h/x").endswith("sslmode=require")
    assert for_dbmate("postgresql://127.0.0.1/x").endswith("sslmode=disable")
    assert for_dbmate("postgresql://h/x?sslmode=verify-full").endswith("sslmode=verify-full")
