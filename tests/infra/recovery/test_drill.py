"""A drill restores from nothing but the bucket, starts a service on it, and tells the truth either way."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.errors import UserError
from infra.home import CHECKOUT
from infra.recovery import drill, manifest, report
from infra.recovery.database import Address
from infra.recovery.report import Check, Report
from infra.stack.identity import SESSION_HOURS
from infra.stack.schedule import Plan
from tests.infra.recovery.conftest import Cloud, back_up
from tests.parts import REGION


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Address:
    """A database with the service's own schema and one key in it."""
    path = tmp_path / "database_url"
    path.write_text(database_url)
    environment = {**os.environ, "SUPERAGENT_DATABASE_URL_FILE": str(path)}
    for words in (["migrate"], ["create-key", "--name", "one", "--permission", "admin"]):
        subprocess.run(
            [sys.executable, "-m", "service", *words],
            cwd=CHECKOUT,
            env=environment,
            check=True,
            capture_output=True,
        )
    return Address.parse(database_url)


def job(cloud: Cloud, endpoint: str) -> dict[str, Any]:
    return {
        "environment": "test",
        "endpoint": endpoint,
        "region": REGION,
        "bucket": cloud.store.bucket,
        "backup": "latest",
    }


@pytest.mark.component
def test_a_drill_restores_and_serves_from_the_bucket_alone(
    cloud: Cloud, served: Address, moto_endpoint: str
) -> None:
    made = back_up(cloud, served, kms_key=cloud.key)
    found = drill.in_clean_process(job(cloud, moto_endpoint))
    assert found["passed"], found["checks"]
    assert [one["name"] for one in found["checks"]] == [
        "rows and content equal the backup",
        "indexes and constraints are sound",
        "schema is up to date",
        "a key can be made",
        "the service is ready",
        "a question is answered",
        "its usage is written",
    ]
    assert found["backup"] == made.id
    assert found["rto_seconds"] >= found["restore_seconds"] > 0
    assert found["rpo_seconds"] > 0


@pytest.mark.component
def test_a_drill_of_a_damaged_backup_fails_and_says_why(
    cloud: Cloud, served: Address, moto_endpoint: str
) -> None:
    made = back_up(cloud, served)
    victim = made.archives[1].segments[0]
    cloud.s3.delete_object(Bucket=cloud.store.bucket, Key=victim.key, VersionId=victim.version_id)
    found = drill.in_clean_process(job(cloud, moto_endpoint))
    assert not found["passed"]
    assert found["rto_seconds"] is None and found["rpo_seconds"] > 0
    assert f"{victim.key} is missing" in found["checks"][-1]["told"]


@pytest.mark.component
def test_a_drill_whose_newest_backup_cannot_even_be_read_is_a_failed_one(
    cloud: Cloud, served: Address, moto_endpoint: str
) -> None:
    made = back_up(cloud, served)
    cloud.s3.put_object(
        Bucket=cloud.store.bucket, Key=f"backups/postgres/{made.id}/manifest.json", Body=b"{torn"
    )
    found = drill.in_clean_process(job(cloud, moto_endpoint))
    assert not found["passed"]
    assert (found["rpo_seconds"], found["rto_seconds"]) == (None, None)
    assert made.id in found["checks"][0]["told"]


@pytest.mark.component
def test_a_drill_whose_backup_may_not_be_opened_is_a_failed_one(
    cloud: Cloud, served: Address, moto_endpoint: str
) -> None:
    """Else the drill before it would go on counting as the last one, and it passed."""
    made = back_up(cloud, served, kms_key=cloud.key)
    assert made.encryption is not None
    foreign = base64.b64encode(b"0" * 200).decode()
    locked = replace(made, encryption=replace(made.encryption, wrapped_key=foreign))
    cloud.store.put(manifest.manifest_key("postgres", made.id), manifest.encode(locked))
    found = drill.in_clean_process(job(cloud, moto_endpoint))
    assert (found["passed"], found["backup"], found["rto_seconds"]) == (False, made.id, None)
    assert "KMS did not unwrap the data key" in found["checks"][-1]["told"]


@pytest.mark.component
def test_a_drill_without_a_backup_asks_for_one(cloud: Cloud, moto_endpoint: str) -> None:
    with pytest.raises(UserError, match=f"Bucket {cloud.store.bucket} holds no postgres backup"):
        drill.in_clean_process(job(cloud, moto_endpoint))


def test_a_drill_that_dies_or_hangs_is_a_failed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = {"environment": "test", "endpoint": None, "region": REGION, "bucket": "b", "backup": "latest"}
    late = drill.in_clean_process(lost, seconds=0)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    dead = drill.in_clean_process(lost)
    assert [one["passed"] for one in (late, dead)] == [False, False]
    assert "did not end within 0 s" in late["checks"][0]["told"]
    assert "ended with status 1" in dead["checks"][0]["told"]
    page = report.markdown(Report(**{k: v for k, v in dead.items() if k not in ("passed", "checks")}))
    assert "| RPO: data older than the drill by | unknown |" in page


def test_a_drill_that_hangs_is_told_before_whoever_started_it_ends_it() -> None:
    """The scheduled job kills its command, a CronJob or a workflow its machine: neither writes a report."""
    [scheduled] = [job for job in Plan().jobs() if job.name == "drill"]
    workflow = yaml.safe_load((CHECKOUT / ".github/workflows/drill.yml").read_text())
    minutes = workflow["jobs"]["drill"]["timeout-minutes"]
    to_sign_and_keep_it = 600
    assert drill.LONGEST_SECONDS + to_sign_and_keep_it < min(scheduled.deadline_seconds, minutes * 60)
    assert drill.LONGEST_SECONDS + to_sign_and_keep_it < SESSION_HOURS["drill"] * 3600


REPORT = Report(
    "test", "20261123T020000Z-abcdef", "2026-11-23T02:00:00+00:00", "2026-11-23T03:00:00+00:00",
    3600.0, 42.0, 40.0, 7, 8, "here", "0.1.0", [Check("it works", True, "yes")],
)  # fmt: skip


def test_a_report_that_was_changed_is_not_genuine(tmp_path: Path) -> None:
    mac, check = report.file_mac(tmp_path / "key")
    signed = report.signed(REPORT, mac, "file:key")
    assert report.genuine(signed, check)
    assert not report.genuine({**signed, "rto_seconds": 1.0}, check)
    assert not report.genuine({**signed, "signature": "x"}, check)
    assert not report.genuine(signed, report.file_mac(tmp_path / "another")[1])
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


@pytest.mark.component
def test_a_report_can_be_signed_by_a_key_that_never_leaves_kms(cloud: Cloud) -> None:
    key = cloud.kms.create_key(KeyUsage="GENERATE_VERIFY_MAC", KeySpec="HMAC_256")["KeyMetadata"]["KeyId"]
    mac, check = report.kms_mac(cloud.kms, key)
    signed = report.signed(REPORT, mac, f"kms:{key}")
    assert report.genuine(signed, check)
    assert not report.genuine({**signed, "passed": False}, check)


def test_the_page_shows_what_failed() -> None:
    failed = replace(REPORT, checks=[Check("rows equal", False, "public.usage is missing")])
    page = report.markdown(failed)
    assert "# Restore drill of test: FAILED" in page
    assert "| rows equal | FAILED | public.usage is missing |" in page
    assert "| RPO: data older than the drill by | 3,600.0 |" in page
