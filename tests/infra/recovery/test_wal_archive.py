"""A segment is in S3 before Postgres forgets it, and comes back as it was or not at all."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.recovery import base_backup, catalog, manifest, prune
from tests.infra.recovery.conftest import Cloud, make_bucket
from tests.infra.recovery.test_verify_and_prune import mark_verified
from tests.parts import REGION, free_port

SCRIPT = Path(base_backup.__file__).parents[1] / "local" / "wal_archive.py"
NAME = "00000001000000000000002A"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def archive(cloud: Cloud, moto_endpoint: str, tmp_path: Path) -> tuple[Run, Cloud, str]:
    """The command, in a bucket with Object Lock and a default retention as the stack declares it."""
    bucket = make_bucket(cloud.s3, cloud.key, lock=True)
    cloud.s3.put_object_lock_configuration(
        Bucket=bucket,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 7}},
        },
    )

    def run(*words: str, endpoint: str = moto_endpoint) -> subprocess.CompletedProcess[str]:
        config = tmp_path / "config.json"
        base_backup.write_config(config, endpoint, bucket, REGION, "777")
        command = [sys.executable, "-I", "-S", str(SCRIPT), str(config), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    return run, cloud, bucket


@pytest.mark.component
def test_a_segment_goes_out_and_comes_back(archive: tuple[Run, Cloud, str], tmp_path: Path) -> None:
    run, cloud, bucket = archive
    segment = tmp_path / NAME
    segment.write_bytes(b"wal" * 5000 + bytes(1 << 20))
    for _ in range(2):  # Postgres may ask again after a crash: the same content is welcome
        assert run("put", str(segment), NAME).returncode == 0
    stored = cloud.s3.head_object(Bucket=bucket, Key=f"wal/777/{NAME}.gz")
    assert stored["ContentLength"] < 20_000
    back = tmp_path / "back"
    assert run("get", NAME, str(back)).returncode == 0
    assert back.read_bytes() == segment.read_bytes()


@pytest.mark.component
def test_another_content_under_the_same_name_is_refused(
    archive: tuple[Run, Cloud, str], tmp_path: Path
) -> None:
    run, _, _ = archive
    segment = tmp_path / NAME
    segment.write_bytes(b"one")
    assert run("put", str(segment), NAME).returncode == 0
    segment.write_bytes(b"two")
    done = run("put", str(segment), NAME)
    assert (done.returncode, "already, with other content" in done.stderr) == (1, True)


@pytest.mark.component
def test_missing_and_damaged_segments_are_told_and_leave_no_file(
    archive: tuple[Run, Cloud, str], tmp_path: Path
) -> None:
    run, cloud, bucket = archive
    back = tmp_path / "back"
    assert "is not in the archive (404)" in run("get", NAME, str(back)).stderr
    cloud.s3.put_object(
        Bucket=bucket, Key=f"wal/777/{NAME}.gz", Body=gzip.compress(b"rot"), Metadata={"sha256": "0" * 64}
    )
    done = run("get", NAME, str(back))
    assert (done.returncode, "is damaged" in done.stderr, back.exists()) == (1, True, False)


@pytest.mark.component
def test_postgres_is_told_when_s3_is_away(archive: tuple[Run, Cloud, str], tmp_path: Path) -> None:
    segment = tmp_path / NAME
    segment.write_bytes(b"one")
    done = archive[0]("put", str(segment), NAME, endpoint=f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, "S3 does not answer" in done.stderr) == (1, True)


def base(cloud: Cloud, number: int, start: str) -> str:
    made = manifest.Manifest(
        id=f"202611{number:02d}T000000Z-aaaaaa", kind="base", environment="test", snapshot_at="",
        started_at="",
        completed_at="", duration_seconds=0, tool_version="", archives=(),
        source={"system": "777", "start_wal": start},
    )  # fmt: skip
    cloud.store.put(manifest.manifest_key("base", made.id), manifest.encode(made))
    return made.id


def test_wal_that_no_kept_base_needs_goes_and_the_rest_stays(cloud: Cloud) -> None:
    ids = [base(cloud, 1, "000000010000000000000010"), base(cloud, 2, "000000010000000000000020")]
    mark_verified(cloud.store, "base", ids[1])
    for name in ("00000001000000000000000F", "000000010000000000000010", "00000002.history"):
        cloud.store.put(f"wal/777/{name}.gz", b"")
    cloud.store.put("wal/888/000000010000000000000001.gz", b"")
    done = prune.run(cloud.store, datetime.now(UTC), kinds=("base",))
    assert done.wal == ["wal/777/00000001000000000000000F.gz"]
    assert len(catalog.entries(cloud.store, "base")) == 2
    left = {item.key for item in cloud.store.list("wal/")}
    assert left == {
        "wal/777/000000010000000000000010.gz",
        "wal/777/00000002.history.gz",
        "wal/888/000000010000000000000001.gz",
    }


def test_the_configuration_holds_no_secret(tmp_path: Path) -> None:
    base_backup.write_config(tmp_path / "c", "http://127.0.0.1:1", "b", REGION, "1")
    found: dict[str, Any] = json.loads((tmp_path / "c").read_text())
    assert set(found) == {"endpoint", "bucket", "region", "prefix"}
