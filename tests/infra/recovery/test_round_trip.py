"""What goes into the bucket comes out of it: the same rows, definitions, sequences and large objects."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest

from infra.errors import OperationFailed, UserError
from infra.recovery import catalog, fingerprint, restore
from infra.recovery.database import Address, tables
from tests.infra.recovery.conftest import Cloud, back_up

pytestmark = pytest.mark.component


def value(address: Address, query: str) -> Any:
    with address.connect() as connection:
        row = connection.execute(query).fetchone()  # type: ignore[arg-type]
        return row[0] if row else None


def definitions(address: Address) -> list[Any]:
    with address.connect() as connection:
        return connection.execute(
            "select indexdef from pg_indexes where schemaname in ('public', 'billing')"
            " union all select conname || pg_get_constraintdef(oid) from pg_constraint"
            " where connamespace in ('public'::regnamespace, 'billing'::regnamespace)"
            " union all select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal order by 1"
        ).fetchall()


def test_a_restored_database_is_the_one_that_was_backed_up(cloud: Cloud, source: Address, spare: str) -> None:
    made = back_up(cloud, source)
    result = restore.run(
        cloud.store, catalog.resolve(cloud.store, "postgres", "latest"), source, spare, cloud.kms
    )
    target = source.database(spare)
    assert result.compared == "content"
    assert result.rows == made.rows > 1500
    assert definitions(target) == definitions(source)
    assert value(target, "select nextval('loose')") == 43
    assert value(target, "select lo_get(oid) from pg_largeobject_metadata") == b"\xde\xad\xbe\xef"
    assert value(target, "select count(*) from totals") == 2
    assert value(target, "select to_regnamespace('superagent_restore')") is None


def test_the_manifest_says_what_a_stranger_needs(cloud: Cloud, source: Address) -> None:
    made = catalog.read(cloud.store, "postgres", back_up(cloud, source).id)
    assert made.tables["public.tenants"].rows == 500
    assert made.tables['billing."Odd ""Name"""'].rows == 500
    assert made.source["postgres_major"] == 17
    assert made.source["schema_version"] == "0007"
    assert made.source["wal_position"].count("/") == 1
    assert made.snapshot_at.endswith("Z")
    assert all(len(segment.sha256) == 64 for archive in made.archives for segment in archive.segments)


def test_every_object_is_encrypted_under_the_key_of_the_bucket(cloud: Cloud, source: Address) -> None:
    asked: list[dict[str, Any]] = []  # the key itself is asked for: S3 would take the account's without it
    for call in ("PutObject", "CreateMultipartUpload"):
        cloud.s3.meta.events.register(
            f"provide-client-params.s3.{call}", lambda params, **_: asked.append(params)
        )
    made = back_up(cloud, source)
    assert asked
    assert {one.get("SSEKMSKeyId") for one in asked} == {cloud.key}
    for found in cloud.store.list("backups/"):
        head = cloud.s3.head_object(Bucket=cloud.store.bucket, Key=found.key)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", cloud.key)
    assert made.encryption is None


def test_an_envelope_hides_the_rows_and_opens_again(cloud: Cloud, source: Address, spare: str) -> None:
    made = back_up(cloud, source, kms_key=cloud.key)
    first = made.archives[0].segments[0]
    assert cloud.store.get(first.key, first.version_id)[:4] == b"SAE1"  # type: ignore[index]
    assert restore.run(cloud.store, made, source, spare, cloud.kms).rows == made.rows


def test_a_database_that_changes_under_the_dump_is_backed_up_as_of_one_moment(
    cloud: Cloud, source: Address, spare: str
) -> None:
    stop = threading.Event()

    def move_money() -> None:
        with source.connect() as connection:
            while not stop.is_set():
                with connection.transaction():  # the sum over both tables never changes
                    connection.execute("insert into tenants (name) values (gen_random_uuid()::text)")
                    connection.execute(
                        "delete from events_1 where ctid in (select ctid from events_1 limit 1)"
                    )

    total = value(source, "select (select count(*) from tenants) + (select count(*) from events_1)")
    writer = threading.Thread(target=move_money)
    writer.start()
    try:
        made = back_up(cloud, source)
    finally:
        stop.set()
        writer.join()
    restore.run(cloud.store, made, source, spare, cloud.kms)
    prints = made.tables
    assert prints["public.tenants"].rows + prints["public.events_1"].rows == total


def test_a_target_with_anything_in_it_is_refused(cloud: Cloud, source: Address) -> None:
    made = back_up(cloud, source)
    with pytest.raises(UserError, match="is not empty"):
        restore.run(cloud.store, made, source, source.name, cloud.kms)
    assert value(source, "select count(*) from tenants") == 500


def test_a_restore_that_differs_from_the_backup_is_not_called_done(
    cloud: Cloud, source: Address, spare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = back_up(cloud, source)
    honest = restore.compare

    def after_somebody_changed_a_row(target: Address, manifest: Any) -> Any:
        with target.connect() as connection:
            connection.execute("update events set text = 'x' where n = 7")
        return honest(target, manifest)

    monkeypatch.setattr(restore, "compare", after_somebody_changed_a_row)
    with pytest.raises(OperationFailed, match=r"events_1 has the right number of rows but other content"):
        restore.run(cloud.store, made, source, spare, cloud.kms)
    assert restore.last_run(cloud.store) is None


def test_fingerprints_ignore_the_order_of_rows_and_nothing_else(source: Address) -> None:
    def take() -> dict[str, Any]:
        with source.connect() as connection:
            return dict(fingerprint.take(source, tables(connection)))

    before = take()
    with psycopg.connect(source.url(), autocommit=True) as connection:
        connection.execute("create table t2 as select * from events_2 order by random()")
        connection.execute("truncate events_2")
        connection.execute("insert into events_2 select * from t2")
        connection.execute("drop table t2")
        assert take() == before
        connection.execute('update billing."Odd ""Name""" set rate = rate + 0.0001 where amount = 9')
    changed = take()
    assert [name for name in before if before[name] != changed[name]] == ['billing."Odd ""Name"""']


def test_the_estimate_of_a_restore_comes_from_the_last_one(cloud: Cloud, source: Address, spare: str) -> None:
    made = back_up(cloud, source)
    assert restore.estimate(restore.last_run(cloud.store), made.size) is None
    done = restore.run(cloud.store, made, source, spare, cloud.kms)
    assert restore.estimate(restore.last_run(cloud.store), made.size * 2) == pytest.approx(
        2 * (done.load_seconds + done.verify_seconds), abs=0.11
    )
