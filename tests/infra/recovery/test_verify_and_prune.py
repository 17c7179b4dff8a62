"""Bit rot is found, the ledger saves reading, retention keeps what must stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from infra.errors import OperationFailed, UserError
from infra.recovery import catalog, ledger, manifest, prune, retention, verify
from infra.recovery.catalog import Entry
from infra.recovery.database import Address
from infra.recovery.lease import hold
from infra.recovery.manifest import IntegrityError, Kind, Manifest
from infra.recovery.progress import Meter
from infra.recovery.store import Store
from tests.infra.recovery.conftest import Cloud, back_up, make_bucket
from tests.parts import wait_until

NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)


def check(cloud: Cloud, full: bool = False, now: datetime | None = None) -> verify.Verdict:
    entry = catalog.entries(cloud.store, "postgres")[-1]
    return verify.backup(cloud.store, entry, Meter(None, 0), full, now)


def overwrite(store: Store, segment: manifest.Segment, change: Callable[[bytes], bytes]) -> None:
    """Change an object in place, as rot does (in a bucket without versions)."""
    body = store.get(segment.key, segment.version_id)
    assert body is not None
    store.client.put_object(Bucket=store.bucket, Key=segment.key, Body=change(body))


@pytest.fixture
def plain(cloud: Cloud) -> Cloud:
    """The same account with a bucket without versions, where an object can change in place."""
    name = "plain-" + cloud.store.bucket
    cloud.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return replace(cloud, store=Store(cloud.s3, name, need_kms=False))


def flip(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


@pytest.mark.component
def test_one_flipped_bit_is_found(plain: Cloud, source: Address) -> None:
    made = back_up(plain, source)
    assert check(plain).sound
    overwrite(plain.store, made.archives[1].segments[0], flip)
    verdict = check(plain)
    assert verdict.damaged == [
        f"{made.archives[1].segments[0].key} is damaged: its SHA-256 is not the manifest's."
    ]
    assert ledger.newest_verified(plain.store, "postgres", [made.id]) is None
    with pytest.raises(OperationFailed, match="1 of 1 backups are damaged"):
        verify.require_sound([verdict])


@pytest.mark.component
def test_truncated_missing_and_exchanged_objects_are_found(plain: Cloud, source: Address) -> None:
    made = back_up(plain, source)
    one, two = made.archives[1].segments[0], made.archives[2].segments[0]
    first, second = plain.store.get(one.key), plain.store.get(two.key)
    assert first and second
    overwrite(plain.store, one, lambda body: body[:-1])
    assert "bytes, the manifest says" in check(plain).damaged[0]
    plain.s3.delete_object(Bucket=plain.store.bucket, Key=one.key)
    assert "is missing" in check(plain).damaged[0]
    plain.store.put(one.key, second)
    plain.store.put(two.key, first)
    assert len(check(plain).damaged) == 2


@pytest.mark.component
def test_the_ledger_saves_reading_until_it_is_a_week_old(cloud: Cloud, source: Address) -> None:
    made = back_up(cloud, source)
    objects = sum(len(archive.segments) for archive in made.archives)
    assert (check(cloud, now=NOW).read, check(cloud, now=NOW).trusted) == (objects, objects)
    assert check(cloud, full=True, now=NOW).read == objects
    assert check(cloud, now=NOW + timedelta(days=6)).trusted == objects
    assert check(cloud, now=NOW + timedelta(days=8)).read == objects


@pytest.mark.component
def test_a_damaged_manifest_is_told_from_one_of_a_newer_tool(cloud: Cloud, source: Address) -> None:
    made = back_up(cloud, source)
    key = manifest.manifest_key("postgres", made.id)
    document = cloud.store.get(key)
    assert document
    cloud.store.put(key, document.replace(b'"environment": "test"', b'"environment": "prod"'))
    with pytest.raises(IntegrityError, match="does not match its own SHA-256"):
        catalog.read(cloud.store, "postgres", made.id)
    assert not check(cloud).sound
    cloud.store.put(key, manifest.encode(replace(made, format=2)))
    with pytest.raises(UserError, match=r"manifest format 2, this tool reads 1\. Use the release"):
        catalog.read(cloud.store, "postgres", made.id)


def made_by_hand(store: Store, number: int, kind: Kind = "postgres") -> Manifest:
    """A tiny backup; S3 orders them by arrival."""
    backup_id = f"202611{number:02d}T020000Z-00000{number % 10}"
    segment = manifest.Segment(f"backups/{kind}/{backup_id}/x.00000", 0, "", None)
    store.put(segment.key, b"")
    value = Manifest(
        id=backup_id, kind=kind, environment="test", snapshot_at="", started_at="", completed_at="",
        duration_seconds=1, tool_version="0", archives=(manifest.Archive("x", "data", (segment,)),),
    )  # fmt: skip
    store.put(manifest.manifest_key(kind, backup_id), manifest.encode(value))
    return value


def mark_verified(store: Store, kind: Kind, backup_id: str) -> None:
    ledger.write(store, ledger.Ledger(kind, backup_id, {}, NOW.isoformat()))


def test_prune_removes_old_backups_but_never_the_newest_verified(cloud: Cloud) -> None:
    old = [made_by_hand(cloud.store, n).id for n in range(1, 5)]
    mark_verified(cloud.store, "postgres", old[1])
    later = datetime.now(UTC) + timedelta(days=31)
    planned = prune.run(cloud.store, later, dry_run=True)
    assert [(d.entry.id, d.remove, d.reason) for d in planned.decisions] == [
        (old[0], True, "expired"),
        (old[1], False, "newest verified"),
        (old[2], True, "expired"),
        (old[3], False, "newest"),
    ]
    assert len(catalog.entries(cloud.store, "postgres")) == 4
    prune.run(cloud.store, later)
    assert [entry.id for entry in catalog.entries(cloud.store, "postgres")] == [old[1], old[3]]
    assert list(cloud.store.list(f"backups/postgres/{old[0]}")) == []
    versions = cloud.s3.list_object_versions(Bucket=cloud.store.bucket, Prefix=f"backups/postgres/{old[0]}")
    assert not versions.get("Versions") and not versions.get("DeleteMarkers")


def test_prune_removes_nothing_while_nothing_is_verified(cloud: Cloud) -> None:
    for n in range(1, 4):
        made_by_hand(cloud.store, n)
    done = prune.run(cloud.store, datetime.now(UTC) + timedelta(days=400))
    assert [decision.remove for decision in done.decisions] == [False] * 3


def test_prune_obeys_object_lock_and_legal_hold(cloud: Cloud) -> None:
    store = Store(cloud.s3, make_bucket(cloud.s3, cloud.key, lock=True))
    ids = [made_by_hand(store, n).id for n in range(1, 5)]
    mark_verified(store, "postgres", ids[3])
    until = datetime.now(UTC) + timedelta(days=90)
    cloud.s3.put_object_retention(
        Bucket=store.bucket,
        Key=f"backups/postgres/{ids[0]}/x.00000",
        Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until},
    )
    cloud.s3.put_object_legal_hold(
        Bucket=store.bucket, Key=manifest.manifest_key("postgres", ids[1]), LegalHold={"Status": "ON"}
    )
    later = datetime.now(UTC) + timedelta(days=31)
    told = prune.run(store, later, dry_run=True)
    assert len(catalog.entries(store, "postgres")) == 4
    done = prune.run(store, later)
    assert done.decisions == told.decisions
    assert [d.reason for d in done.decisions] == ["locked", "locked", "expired", "newest"]
    assert [entry.id for entry in catalog.entries(store, "postgres")] == [ids[0], ids[1], ids[3]]
    assert done.decisions[0].until is not None


def test_prune_clears_what_killed_backups_left(cloud: Cloud) -> None:
    cloud.store.put("backups/postgres/20261101T020000Z-abcdef/data-0000.00000", b"half")
    cloud.s3.create_multipart_upload(Bucket=cloud.store.bucket, Key="backups/postgres/x/data")
    assert prune.run(cloud.store, datetime.now(UTC)).orphans == []
    done = prune.run(cloud.store, datetime.now(UTC) + timedelta(days=2))
    assert done.orphans == ["backups/postgres/20261101T020000Z-abcdef/"]
    assert list(cloud.store.list("backups/")) == []
    # The emulator gives uploads a date far in the past; AWS gives the true one.
    assert not cloud.s3.list_multipart_uploads(Bucket=cloud.store.bucket).get("Uploads")


def entry(days_old: float, number: int, kind: Kind = "base") -> Entry:
    return Entry(kind, f"id-{number}", NOW - timedelta(days=days_old))


def test_the_base_that_the_window_begins_in_is_kept() -> None:
    found = [entry(20, 1), entry(9, 2), entry(6, 3), entry(1, 4)]
    decisions = retention.decide(found, "base", NOW, 7, "id-4")
    assert [(d.entry.id, d.reason) for d in decisions if not d.remove] == [
        ("id-2", "base of the window"),
        ("id-3", "young"),
        ("id-4", "young"),
    ]


def test_a_clock_that_runs_wrong_does_not_change_which_backup_is_the_latest(cloud: Cloud) -> None:
    made_by_hand(cloud.store, 29)  # made first, on a machine whose clock is weeks ahead
    first = catalog.entries(cloud.store, "postgres")[0].modified

    def a_second_later() -> bool:  # S3 tells time in whole seconds
        cloud.store.put("probe", b"")
        return next(cloud.store.list("probe")).modified > first

    wait_until(a_second_later, "the clock of S3 moves")
    last = made_by_hand(cloud.store, 3)
    assert catalog.resolve(cloud.store, "postgres", "latest").id == last.id


def test_two_backups_at_once_are_refused_and_a_dead_owner_is_replaced(cloud: Cloud) -> None:
    with (
        hold(cloud.table, "backup postgres", lease_seconds=2, beat_seconds=0.1),
        pytest.raises(UserError, match=r"run by .* is under way"),
        hold(cloud.table, "backup postgres", lease_seconds=2),
    ):
        raise AssertionError("never reached")
    cloud.table.put_item(Item={"pk": "recovery", "sk": "lease#backup postgres", "owner": "dead", "beat": 7})
    with hold(cloud.table, "backup postgres", lease_seconds=0.5) as lease:
        lease.assert_held()


def test_an_owner_that_was_replaced_does_not_publish(cloud: Cloud) -> None:
    with hold(cloud.table, "backup postgres") as lease:
        cloud.table.put_item(
            Item={"pk": "recovery", "sk": "lease#backup postgres", "owner": "other", "beat": 1}
        )
        with pytest.raises(OperationFailed, match="took over the lease"):
            lease.assert_held()


def test_a_bucket_that_does_not_encrypt_with_kms_is_refused(cloud: Cloud) -> None:
    cloud.s3.create_bucket(Bucket="naked", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    with pytest.raises(UserError, match="Bucket naked does not encrypt with KMS"):
        Store(cloud.s3, "naked").put("x", b"")
