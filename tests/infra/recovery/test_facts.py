"""What the bucket says of backups and drills, also when nobody ran, somebody lied, or a clock was wrong."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.errors import OperationFailed, UserError
from infra.recovery import catalog, facts, ledger, manifest, point_in_time, report, verify
from infra.recovery.catalog import Entry
from infra.recovery.context import Context
from infra.recovery.facts import Bucket
from infra.recovery.manifest import Kind, Manifest
from infra.recovery.progress import Meter
from infra.recovery.report import Check, Mac, Report
from infra.recovery.store import Store
from infra.stack.environment import Environment
from infra.stack.outputs import StackOutputs
from tests.infra.recovery.conftest import Cloud
from tests.infra.recovery.faulty import proxy
from tests.parts import REGION

pytestmark = pytest.mark.component
NOW = datetime.now(UTC).replace(microsecond=0)
REPORT = Report(
    "test", "20261123T020000Z-abcdef", "2026-11-23T02:00:00+00:00", "2026-11-23T03:00:00+00:00",
    3600.0, 42.0, 40.0, 7, 8, "here", "0.1.0", [Check("it works", True, "yes")],
)  # fmt: skip


def make(
    store: Store, number: int, at: datetime, kind: Kind = "postgres", as_of: datetime | None = None
) -> Manifest:
    """A backup without archives: enough for its age."""
    stamp = at.isoformat()
    made = Manifest(
        id=f"20261123T02000{number}Z-abcdef", kind=kind, environment="test", snapshot_at=stamp,
        started_at=stamp, completed_at=stamp, duration_seconds=1.5, tool_version="0.1.0", archives=(),
        tables={}, source={"as_of": as_of.isoformat()} if as_of else {},
    )  # fmt: skip
    store.put(manifest.manifest_key(kind, made.id), manifest.encode(made))
    return made


def verified(store: Store, made: Manifest) -> None:
    verify.backup(store, Entry(made.kind, made.id, NOW), Meter(None, 0))


def put_report(store: Store, name: str, passed: bool, mac: Mac, **changes: Any) -> None:
    made = replace(REPORT, checks=[Check("it works", passed, "")], **changes)
    document = report.signed(made, mac, "file:key")
    store.put(f"{facts.REPORTS}{name}.json", json.dumps(document).encode())
    store.put(f"{facts.REPORTS}{name}.md", b"# a page\n")


def test_an_empty_bucket_has_no_ages(cloud: Cloud) -> None:
    bucket = Bucket(cloud.store)
    assert bucket.backups() == {}
    assert bucket.drills() is None
    assert facts.failures(cloud.table) == {"postgres": 0, "redis": 0, "config": 0}


def test_the_age_is_that_of_the_newest_verified_backup_and_not_of_the_newest(cloud: Cloud) -> None:
    bucket = Bucket(cloud.store)
    old = make(cloud.store, 1, NOW - timedelta(days=2))
    assert bucket.backups()["postgres"].verified is None, "a backup that nobody read back is no backup"
    verified(cloud.store, old)
    make(cloud.store, 2, NOW - timedelta(hours=1))
    make(cloud.store, 3, NOW - timedelta(hours=3), "config")
    found = bucket.backups()
    assert set(found) == {"postgres", "config"}
    assert found["postgres"].verified == (NOW - timedelta(days=2)).timestamp()
    assert found["postgres"].taken == (NOW - timedelta(hours=1)).timestamp()
    assert found["postgres"].seconds == 1.5


def test_a_copy_of_a_moment_in_the_past_is_not_the_latest_and_hides_no_age(cloud: Cloud) -> None:
    """`restore --to-time` leaves one: whoever then asks for the latest must not lose what came after."""
    real = make(cloud.store, 1, NOW - timedelta(hours=3))
    copy = make(cloud.store, 2, NOW, as_of=NOW - timedelta(days=2))
    verified(cloud.store, copy)
    assert catalog.resolve(cloud.store, "postgres", "latest") == real
    found = Bucket(cloud.store).backups()["postgres"]
    assert found.taken == (NOW - timedelta(hours=3)).timestamp()
    assert found.verified == (NOW - timedelta(days=2)).timestamp()
    # One of a moment after every backup is the best that there is.
    newest = make(cloud.store, 3, NOW, as_of=NOW + timedelta(hours=1))
    assert catalog.resolve(cloud.store, "postgres", "latest") == newest


def test_a_damaged_manifest_hides_no_other_base_of_a_point_in_time(cloud: Cloud, moto_endpoint: str) -> None:
    good = make(cloud.store, 1, NOW - timedelta(days=2), "base")
    cloud.store.put(manifest.manifest_key("base", "20261123T020009Z-abcdef"), b"{torn")
    named = dict.fromkeys(("vpc_id", "alb_arn", "alb_dns_name", "listener_arn", "test_listener_arn"), "x")
    outputs = StackOutputs(
        environment="local", region=REGION, compute="local", target_group_arns={}, image_parameters={},
        release_table="release", backup_bucket=cloud.store.bucket, database_pointer="/p",
        alert_topic_arn="x", **named,  # type: ignore[arg-type]
    )  # fmt: skip
    place = Context(Environment(outputs, moto_endpoint), cloud.store)
    assert point_in_time.choose_base(place, NOW) == good


@pytest.mark.parametrize("text", [b"{torn", b"[]", b'{"lines": {"a": {"new": 1}}}', b'{"lines": []}'])
def test_a_ledger_of_another_tool_vouches_for_nothing_and_stops_nobody(cloud: Cloud, text: bytes) -> None:
    made = make(cloud.store, 1, NOW - timedelta(days=2))
    cloud.store.put(ledger.key("postgres", made.id), text)
    assert Bucket(cloud.store).backups()["postgres"].verified is None
    verified(cloud.store, made)
    assert Bucket(cloud.store).backups()["postgres"].verified is not None


def test_a_damaged_manifest_is_no_backup(cloud: Cloud) -> None:
    good = make(cloud.store, 1, NOW - timedelta(days=2))
    cloud.store.put(manifest.manifest_key("postgres", "20261123T020009Z-abcdef"), b'{"manifest": {}}')
    found = Bucket(cloud.store).backups()["postgres"]
    assert found.taken == datetime.fromisoformat(good.snapshot_at).timestamp()


def test_a_manifest_with_more_in_it_than_this_tool_knows_is_a_newer_tools(cloud: Cloud) -> None:
    """After the tools were rolled back; without the raise of the format that it should have had."""
    good = make(cloud.store, 1, NOW - timedelta(days=2))
    body = {**asdict(good), "id": "20261123T020009Z-abcdef", "mood": "good"}
    text = json.dumps({"manifest": body, "sha256": manifest._digest(body)}).encode()
    cloud.store.put(manifest.manifest_key("postgres", "20261123T020009Z-abcdef"), text)
    assert set(Bucket(cloud.store).backups()) == {"postgres"}
    with pytest.raises(UserError, match=r"holds what this tool does not know.*tool_version 0\.1\.0"):
        catalog.resolve(cloud.store, "postgres", "latest")


def test_a_clock_that_is_ahead_hides_no_age(cloud: Cloud, tmp_path: Path) -> None:
    made = make(cloud.store, 1, NOW + timedelta(days=300))
    verified(cloud.store, made)
    mac, check = report.file_mac(tmp_path / "key")
    put_report(cloud.store, "a", True, mac, started_at=(NOW + timedelta(days=300)).isoformat())
    bucket, soon = Bucket(cloud.store, check), (datetime.now(UTC) + timedelta(minutes=1)).timestamp()
    assert bucket.backups()["postgres"].verified < soon  # type: ignore[operator]
    drills = bucket.drills()
    assert drills is not None
    assert drills.last_success is not None
    assert drills.last_success < soon


def test_what_cannot_change_is_read_once(cloud: Cloud, moto_endpoint: str, quick_s3: Any) -> None:
    make(cloud.store, 1, NOW)
    put_report(cloud.store, "a", True, lambda data: b"x")
    with proxy(moto_endpoint) as between:
        bucket = Bucket(Store(quick_s3(between.url), cloud.store.bucket))
        bucket.backups(), bucket.drills()
        first = len(between.calls)
        bucket.backups(), bucket.drills()
        again = between.calls[first:]
    assert not [call for call in again if "manifest.json" in call or "/drills/a" in call]
    assert [call for call in again if "ledger" in call], "verification is looked at each time"


def test_a_failed_drill_keeps_the_time_of_the_last_one_that_passed(cloud: Cloud, tmp_path: Path) -> None:
    mac, check = report.file_mac(tmp_path / "key")
    put_report(cloud.store, "a", True, mac)
    put_report(cloud.store, "b", False, mac, rpo_seconds=90.0)
    drills = Bucket(cloud.store, check).drills()
    assert drills is not None
    assert (drills.passed, drills.rpo_seconds) == (False, 90.0)
    assert drills.last_success == datetime.fromisoformat(REPORT.started_at).timestamp()


NO_ZONE = b'{"passed": true, "rpo_seconds": 1, "rto_seconds": 1, "started_at": "2026-11-23T03:00:00"}'


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"passed": true}', b"\xff", NO_ZONE])
def test_a_report_that_cannot_be_read_did_not_pass(cloud: Cloud, document: bytes) -> None:
    cloud.store.put(f"{facts.REPORTS}a.json", document)
    drills = Bucket(cloud.store).drills()
    assert drills is not None
    assert (drills.passed, drills.last_success) == (False, None)


def test_a_report_that_somebody_wrote_into_the_bucket_proves_nothing(cloud: Cloud, tmp_path: Path) -> None:
    put_report(cloud.store, "a", True, report.file_mac(tmp_path / "theirs")[0])
    report.file_key(tmp_path / "ours")
    drills = Bucket(cloud.store, report.file_mac(tmp_path / "ours")[1]).drills()
    assert drills is not None
    assert (drills.passed, drills.last_success) == (False, None)


def test_failures_are_counted_where_every_machine_reads_them(cloud: Cloud) -> None:
    facts.count_failure(cloud.table, "postgres")
    facts.count_failure(cloud.table, "postgres")
    assert facts.failures(cloud.table) == {"postgres": 2, "redis": 0, "config": 0}


def test_s3_that_does_not_answer_is_no_empty_bucket(cloud: Cloud, moto_endpoint: str, quick_s3: Any) -> None:
    make(cloud.store, 1, NOW)
    with proxy(moto_endpoint) as between:
        between.decide = lambda number, call: "500"
        bucket = Bucket(Store(quick_s3(between.url), cloud.store.bucket))
        with pytest.raises(OperationFailed, match="Could not list"):
            bucket.backups()
        with pytest.raises(OperationFailed, match="Could not list"):
            bucket.drills()
