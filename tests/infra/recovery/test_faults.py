"""Whatever dies or fails, a backup is whole or it does not exist, and a restore can be finished."""

from __future__ import annotations

import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest
from botocore.exceptions import ClientError

from infra.errors import OperationFailed, UserError
from infra.recovery import catalog, envelope, load, restore, verify
from infra.recovery.backup import Draft, postgres
from infra.recovery.database import Address
from infra.recovery.lease import hold
from infra.recovery.manifest import Encryption, IntegrityError, Manifest
from infra.recovery.progress import Meter
from infra.recovery.store import Store
from tests.infra.recovery.conftest import Cloud, back_up
from tests.infra.recovery.faulty import Proxy, proxy
from tests.infra.recovery.killing import PART, in_child, killed_at, through

pytestmark = pytest.mark.component


@pytest.fixture
def noisy(database_url: str) -> Address:
    """A small database with one table that does not compress: its archive needs several parts."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create extension pgcrypto")
        connection.execute("create table noise (id int primary key, body bytea)")
        connection.execute(
            "insert into noise select n, gen_random_bytes(1024) from generate_series(1, 11000) n"
        )
        connection.execute("create table calm as select n from generate_series(1, 100) n")
    return Address.parse(database_url)


@pytest.fixture
def gate(moto_endpoint: str) -> Iterator[Proxy]:
    with proxy(moto_endpoint) as state:
        yield state


def backup_in_child(cloud: Cloud, source: Address) -> None:
    with hold(cloud.table, "backup postgres", lease_seconds=0.4, beat_seconds=10) as lease:
        postgres(Draft(cloud.store, "postgres", "test", cloud.kms, cloud.key), source, lease)


def assert_listed_backups_are_whole(cloud: Cloud) -> int:
    found = catalog.entries(cloud.store, "postgres")
    for entry in found:
        assert verify.backup(cloud.store, entry, Meter(None, 0), full=True).sound
    return len(found)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("moment", ["before", pytest.param("after", marks=pytest.mark.soak)])
def test_a_backup_killed_at_any_call_is_whole_or_absent(
    cloud: Cloud, noisy: Address, gate: Proxy, moment: str
) -> None:
    far = through(cloud, gate)
    assert in_child(lambda: backup_in_child(far, noisy)) == 0
    recorded = len(gate.calls)
    assert recorded > 12, gate.calls
    assert sum("UploadPart" in c or "partNumber=" in c for c in gate.calls) >= 3
    whole = assert_listed_backups_are_whole(cloud)
    for victim in range(recorded):
        code = killed_at(gate, victim, moment, lambda: backup_in_child(far, noisy))
        assert code in (-signal.SIGKILL, 0), f"call {victim}: {code}"
        now = assert_listed_backups_are_whole(cloud)
        assert now - whole in (0, 1)
        whole = now
    before = whole
    assert in_child(lambda: backup_in_child(far, noisy)) == 0
    assert assert_listed_backups_are_whole(cloud) == before + 1


def test_errors_and_throttling_that_pass_are_survived(cloud: Cloud, noisy: Address, gate: Proxy) -> None:
    gate.decide = lambda number, call: {0: "500", 3: "slowdown", 6: "cut"}.get(number % 8)  # type: ignore[return-value]
    made = back_up(through(cloud, gate, attempts=8), noisy)
    assert made.tables["public.noise"].rows == 11000
    assert assert_listed_backups_are_whole(cloud) == 1


def test_errors_that_stay_end_the_backup_and_leave_nothing_listed(
    cloud: Cloud, noisy: Address, gate: Proxy
) -> None:
    gate.decide = lambda number, call: "slowdown" if "partNumber=2" in call else None
    with pytest.raises(OperationFailed, match=r"Could not write backups/postgres/.*: SlowDown"):
        back_up(through(cloud, gate), noisy)
    assert catalog.entries(cloud.store, "postgres") == []
    assert not cloud.s3.list_multipart_uploads(Bucket=cloud.store.bucket).get("Uploads")


def test_a_network_cut_in_the_middle_of_an_object_is_read_again(
    cloud: Cloud, noisy: Address, gate: Proxy, spare_noisy: str
) -> None:
    made = back_up(replace(cloud, store=Store(cloud.s3, cloud.store.bucket, part=PART)), noisy)
    seen: set[str] = set()

    def cut_each_object_once(number: int, call: str) -> Any:
        if call.startswith("GET") and "noise" not in call and call not in seen:
            seen.add(call)
            return "half"
        return None

    gate.decide = cut_each_object_once
    far = through(cloud, gate)
    assert restore.run(far.store, made, noisy, spare_noisy, far.kms).rows == 11100
    assert len(seen) >= 3


def test_a_network_that_stays_away_ends_the_restore_with_a_sentence(
    cloud: Cloud, noisy: Address, gate: Proxy, spare_noisy: str
) -> None:
    made = back_up(cloud, noisy)
    gate.decide = lambda number, call: "cut" if "data-0000" in call else None
    far = through(cloud, gate)
    with pytest.raises(OperationFailed, match=r"Could not read backups/postgres/.*/data-0000"):
        restore.run(far.store, made, noisy, spare_noisy, far.kms)
    gate.decide = lambda number, call: None
    assert restore.run(far.store, made, noisy, spare_noisy, far.kms).rows == 11100


@pytest.fixture
def spare_noisy(noisy: Address) -> Iterator[str]:
    name = "r_" + noisy.name
    yield name
    drop(noisy, name)


def drop(server: Address, name: str) -> None:
    with server.database("postgres").connect() as connection:
        connection.execute(f"drop database if exists {name} with (force)")  # type: ignore[arg-type]


@pytest.mark.timeout(300)
def test_a_restore_killed_at_any_call_can_be_finished(
    cloud: Cloud, source: Address, gate: Proxy, spare: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = back_up(cloud, source, kms_key=cloud.key)
    far = through(cloud, gate)
    assert in_child(lambda: restore.run(far.store, made, source, spare, far.kms)) == 0
    recorded = len(gate.calls)
    assert recorded >= 7, gate.calls
    drop(source, spare)
    for victim in range(recorded):
        run = lambda: restore.run(far.store, made, source, spare, far.kms)  # noqa: E731
        assert killed_at(gate, victim, "before", run) == -signal.SIGKILL, f"call {victim}"
        assert finish(cloud, made, source, spare).rows == made.rows
        drop(source, spare)
    assert list(tmp_path.iterdir()) == [], "a restore leaves nothing and takes away what a killed one left"


def finish(cloud: Cloud, made: Manifest, source: Address, name: str) -> restore.Restored:
    """Run again; when the kill came after the very end the target is complete and is refused as such."""
    try:
        return restore.run(cloud.store, made, source, name, cloud.kms)
    except UserError as refused:
        assert "is not empty" in refused.message
        assert restore.compare(source.database(name), made) == ("content", [])
        return restore.Restored(made.id, name, made.size, made.rows, 0, 0, "content")


def flipped(body: bytes, other: bytes) -> bytes:
    return body[:-9] + bytes([body[-9] ^ 4]) + body[-8:]


def cut(body: bytes, other: bytes) -> bytes:
    return body[:-5]


def exchanged(body: bytes, other: bytes) -> bytes:
    return other


@pytest.mark.parametrize("harm", [flipped, cut, exchanged])
def test_a_damaged_object_ends_the_restore_before_it_is_called_done(
    cloud: Cloud, source: Address, spare: str, harm: Callable[[bytes, bytes], bytes]
) -> None:
    made = back_up(cloud, source)
    broken, other = made.archives[1].segments[0], made.archives[2].segments[0]
    body, foreign = (cloud.store.get(one.key, one.version_id) for one in (broken, other))
    assert body and foreign
    version = cloud.store.put(broken.key, harm(body, foreign))
    bent = replace(made, archives=tuple(
        replace(a, segments=tuple(replace(s, version_id=version) if s == broken else s for s in a.segments))
        for a in made.archives
    ))  # fmt: skip
    with pytest.raises(OperationFailed):
        restore.run(cloud.store, bent, source, spare, cloud.kms)
    with source.database(spare).connect() as connection:
        row = connection.execute("select to_regnamespace('superagent_restore')").fetchone()
        assert row is not None and row[0] == "superagent_restore"


def other_key(cloud: Cloud, made: Manifest) -> Encryption:
    """A data key that KMS opens for this backup, and that did not seal it."""
    return envelope.new_data_key(cloud.kms, cloud.kms.create_key()["KeyMetadata"]["Arn"], made.id)[1]


def test_a_wrong_key_is_refused_whichever_way_it_is_wrong(cloud: Cloud, source: Address, spare: str) -> None:
    made = back_up(cloud, source, kms_key=cloud.key)
    assert made.encryption is not None
    stolen = replace(made, id="20260101T000000Z-000000")
    with pytest.raises((UserError, IntegrityError), match=r"KMS did not unwrap|does not decrypt"):
        restore.run(cloud.store, stolen, source, spare, cloud.kms)
    drop(source, spare)
    second = replace(made, encryption=other_key(cloud, made))
    with pytest.raises(IntegrityError, match=r"does not decrypt: wrong key"):
        restore.run(cloud.store, second, source, spare, cloud.kms)
    drop(source, spare)
    # The emulator opens what it sealed whatever becomes of the key; a disabled key in AWS answers this.
    refusal = ClientError({"Error": {"Code": "KMSInvalidStateException", "Message": ""}}, "Decrypt")
    gone = SimpleNamespace(
        decrypt=Mock(side_effect=refusal), exceptions=SimpleNamespace(ClientError=ClientError)
    )
    with pytest.raises(UserError, match=r"KMS did not unwrap the data key .*KMSInvalidStateException"):
        restore.run(cloud.store, made, source, spare, gone)
    assert restore.run(cloud.store, made, source, spare, cloud.kms).rows == made.rows


def test_a_full_disk_of_the_tools_machine_is_told(cloud: Cloud, source: Address, spare: str) -> None:
    made = back_up(cloud, source)

    def cramped() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))
        with pytest.raises(OperationFailed, match=r"cannot be written: .*Make room"):
            restore.run(cloud.store, made, source, spare, cloud.kms)

    assert in_child(cramped) == 0
    assert restore.run(cloud.store, made, source, spare, cloud.kms).rows == made.rows


def test_a_full_disk_of_the_server_is_told_and_the_restore_can_be_finished(
    cloud: Cloud, source: Address, spare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = back_up(cloud, source)
    load.prepare(source, spare, made)
    with source.database(spare).connect() as connection:
        connection.execute(
            "create function superagent_restore.full() returns event_trigger language plpgsql as"
            " $$ begin raise exception 'could not extend file: No space left on device'"
            " using errcode = 'disk_full'; end $$"
        )
        connection.execute(
            "create event trigger full_disk on ddl_command_start when tag in ('CREATE INDEX')"
            " execute function superagent_restore.full()"
        )
    with pytest.raises(OperationFailed, match="No space left on device"):
        restore.run(cloud.store, made, source, spare, cloud.kms)
    with source.database(spare).connect() as connection:
        connection.execute("drop event trigger full_disk")
    assert restore.run(cloud.store, made, source, spare, cloud.kms).rows == made.rows
