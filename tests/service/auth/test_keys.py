"""API keys in a real Postgres: only hashes are kept."""

from __future__ import annotations

import base64
import hmac
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from service.auth.keys import KeyStore, digest, new_key, plausible
from service.storage.database import Database, StoreUnavailable
from service.storage.migrate import migrate

pytestmark = pytest.mark.component


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    migrate(database_url)
    database = Database(database_url)
    await database.start()
    yield database
    await database.close()


async def test_a_key_finds_its_principal_and_a_changed_one_does_not(database: Database) -> None:
    keys = KeyStore(database)
    key, row = await keys.create("app", ["chat", "read"])
    found = await keys.find(key)
    assert found is not None
    assert found.id == row["id"]
    assert found.permissions == {"chat", "read"}
    assert await keys.find(key[:-1] + ("A" if key[-1] != "A" else "B")) is None


async def test_hashes_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first different byte is must not be told by the time that the answer takes."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    class Rows:
        async def fetch(self, query: str, prefix: str) -> list[dict[str, bytes]]:
            return [{"hash": b"first"}, {"hash": b"second"}]

    monkeypatch.setattr(hmac, "compare_digest", compare)
    key = new_key()
    assert await KeyStore(Rows()).find(key) is None  # type: ignore[arg-type]
    assert compared == [(b"first", digest(key)), (b"second", digest(key))]


async def test_the_key_itself_is_nowhere_in_the_table(database: Database) -> None:
    key, row = await KeyStore(database).create("app", ["chat"])
    stored = await database.fetchrow("select api_keys::text as all from api_keys")
    assert stored is not None
    assert key not in stored["all"]
    assert key[11:] not in stored["all"]
    assert "hash" not in row


async def test_an_expired_key_is_unknown(database: Database) -> None:
    keys = KeyStore(database)
    key, _ = await keys.create("app", ["chat"], expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert await keys.find(key) is None


@pytest.mark.parametrize("days", [None, 30])
async def test_a_key_that_is_rotated_twice_gives_one_that_lives_as_long_as_it_did(
    database: Database, days: int | None
) -> None:
    """Whoever lost the first answer rotates again: that key must not end with the old one's overlap."""
    keys = KeyStore(database)
    end = None if days is None else datetime.now(UTC) + timedelta(days=days)
    _, old = await keys.create("app", ["chat"], expires_at=end)
    ends = []
    for _ in range(3):
        rotated = await keys.rotate(old["id"], 3600)
        assert rotated is not None
        ends.append(rotated[1]["expires_at"])
    assert ends == [old["expires_at"]] * 3


async def test_a_permission_that_does_not_exist_is_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="'root' is not a permission; these are: chat"):
        await KeyStore(database).create("app", ["root"])


async def test_a_lost_store_is_not_an_unknown_key() -> None:
    database = Database("postgresql://postgres@127.0.0.1:1/x")
    await database.start()
    try:
        assert not database.available
        with pytest.raises(StoreUnavailable):
            await KeyStore(database).find(new_key())
    finally:
        await database.close()


def test_keys_have_256_random_bits_and_a_known_form() -> None:
    assert plausible(new_key())
    made = [base64.urlsafe_b64decode(new_key().removeprefix("sk-") + "=") for _ in range(50)]
    assert {len(one) for one in made} == {32}
    # Each byte differs somewhere: a key that is padded, or random in a part only, would repeat some.
    assert all(len({one[place] for one in made}) > 1 for place in range(32))
    assert not plausible("sk-short")
