"""Base backups and archived WAL of a server of its own: any recorded moment comes back."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from infra.local import postgres
from infra.recovery import base_backup, catalog, fingerprint, point_in_time, scratch, verify, workspace
from infra.recovery.backup import Draft
from infra.recovery.context import Context
from infra.recovery.database import Address, tables
from infra.recovery.lease import hold
from infra.recovery.manifest import Fingerprint, Manifest
from infra.recovery.progress import Meter
from infra.stack.environment import Environment
from tests.infra.recovery.conftest import Cloud
from tests.infra.recovery.faulty import Proxy, proxy
from tests.infra.recovery.killing import killed_at, through
from tests.infra.recovery.test_redis_and_config import OUTPUTS
from tests.parts import REGION

pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]
SEED = 20261123


@dataclass(frozen=True)
class Archiving:
    """A server that archives its WAL into the cloud's bucket."""

    cloud: Cloud
    place: Context
    admin: Address
    system: str

    def base(self, cloud: Cloud | None = None) -> Manifest:
        cloud = cloud or self.cloud
        with hold(cloud.table, "backup base", lease_seconds=0.4, beat_seconds=10) as lease:
            draft = Draft(cloud.store, "base", "test", cloud.kms)
            return base_backup.create(draft, self.admin, self.system, "postgres", lease)

    def prints(self, address: Address | None = None) -> dict[str, Fingerprint]:
        with (address or self.admin).connect() as connection:
            present = tables(connection)
        return fingerprint.take(address or self.admin, present)


@pytest.fixture
def archiving(
    cloud: Cloud, moto_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Archiving]:
    monkeypatch.setenv("SUPERAGENT_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    tmp_path.chmod(0o755)
    place = Context(Environment(replace(OUTPUTS, region=REGION), moto_endpoint), cloud.store)
    with scratch.server_of(17, options=("archive_mode=on",)) as admin:
        with admin.connect() as connection:
            system = base_backup.system_identifier(connection)
            config = tmp_path / "wal.json"
            base_backup.write_config(config, moto_endpoint, cloud.store.bucket, REGION, system)
            command = base_backup.archive_command(config, "put", "'%p' '%f'").replace("'", "''")
            connection.execute(f"alter system set archive_command = '{command}'")  # type: ignore[arg-type]
            connection.execute("select pg_reload_conf()")
            connection.execute("create table ledger (n int primary key, amount int)")
            connection.execute("insert into ledger select n, n from generate_series(1, 1000) n")
        yield Archiving(cloud, place, admin, system)


def one_change(
    connection: psycopg.Connection[tuple[object, ...]], chance: random.Random, number: int
) -> None:
    """A commit of one of the kinds that a database sees."""
    statement = chance.choice(
        [
            f"insert into ledger values ({2000 + number}, {chance.randrange(1000)})",
            f"update ledger set amount = amount + 1 where n % 7 = {chance.randrange(7)}",
            f"delete from ledger where n = {chance.randrange(1000)}",
            f"create table extra_{number} as select {number} as n",
            "truncate ledger",
            "insert into ledger select n, n from generate_series(10000, 10500) n on conflict do nothing",
        ]
    )
    connection.execute(statement)  # type: ignore[arg-type]


@pytest.mark.soak
def test_every_moment_of_a_recording_comes_back(archiving: Archiving, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    recording: list[tuple[datetime, dict[str, Fingerprint]]] = []
    archiving.base()
    with archiving.admin.connect() as connection:
        for number in range(24):
            if number == 12:
                archiving.base()
            one_change(connection, chance, number)
            row = connection.execute("select clock_timestamp()").fetchone()
            assert row is not None and isinstance(row[0], datetime)
            recording.append((row[0], archiving.prints()))
        base_backup.switch_and_wait(connection)
    bases = set()
    for moment, expected in recording:
        base = point_in_time.choose_base(archiving.place, moment)
        bases.add(base.id)
        with point_in_time.server_at(archiving.place, base, moment, tmp_path / "at") as address:
            assert archiving.prints(address) == expected, f"seed {SEED}, {moment}"
    assert len(bases) == 2, "both base backups were used"


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user needs no way around root")
def test_a_moment_comes_back_where_root_may_make_no_namespace(
    archiving: Archiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container: Postgres runs as another user, and root makes the folder that it recovers in."""
    base = archiving.base()
    with archiving.admin.connect() as connection:
        row = connection.execute("select clock_timestamp()").fetchone()
        assert row is not None
        base_backup.switch_and_wait(connection)
    monkeypatch.setattr(postgres, "identity", lambda *_: postgres.Identity(user="nobody"))
    # It fetches WAL as that user, who may not be allowed to enter the folder of the tests' own Python.
    monkeypatch.setattr(
        base_backup,
        "sys",
        SimpleNamespace(executable=shutil.which("python3", path="/usr/bin:/usr/local/bin")),
    )
    with (
        workspace.folder("point-in-time", owner="nobody") as folder,
        point_in_time.server_at(archiving.place, base, row[0], folder / "cluster") as address,
    ):
        assert archiving.prints(address) == archiving.prints()


@pytest.mark.parametrize(
    ("when", "kills"),
    [
        ("before", 3),
        pytest.param("before", None, marks=pytest.mark.soak),
        pytest.param("after", None, marks=pytest.mark.soak),
    ],
)
def test_a_base_backup_killed_at_any_call_is_whole_or_absent(
    archiving: Archiving, moto_endpoint: str, when: str, kills: int | None
) -> None:
    """At every call of a recording, or at so many of them, evenly spread."""
    with proxy(moto_endpoint) as gate:
        far = through(archiving.cloud, gate)
        archiving.base(far)
        whole = listed(archiving)
        assert whole == 1
        recorded = len(gate.calls)
        assert recorded >= 6, gate.calls
        for victim in range(0, recorded, recorded // kills if kills else 1):
            code = attempt(archiving, far, gate, victim, when)
            assert code in (-signal.SIGKILL, 0), f"call {victim}: {code}"
            now = listed(archiving)
            assert now - whole in (0, 1)
            whole = now
        archiving.base()
        assert listed(archiving) == whole + 1


def attempt(archiving: Archiving, far: Cloud, gate: Proxy, victim: int, when: str) -> int:
    return killed_at(gate, victim, when, lambda: archiving.base(far))


def listed(archiving: Archiving) -> int:
    """How many there are; each is read and found sound."""
    found = catalog.entries(archiving.cloud.store, "base")
    for entry in found:
        assert verify.backup(archiving.cloud.store, entry, Meter(None, 0), full=True).sound
    return len(found)
