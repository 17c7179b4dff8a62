"""Whose lock may go: a runner's where no job can run, a person's when that person is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from infra.delivery import unlock
from infra.delivery.unlock import Lock, refusal
from infra.stack.workflow_rights import LOCKS

RUNNER = Lock("k", "runner", "fv-az1", 7, "2026-11-23T01:00:00Z")
ALICE = Lock("k", "alice", "laptop", 7, "2026-11-23T01:00:00Z")


@pytest.mark.parametrize(
    ("lock", "owner", "from_workflow", "goes"),
    [
        (RUNNER, None, True, True),
        (RUNNER, None, False, False),
        (RUNNER, "alice@laptop", True, False),
        (ALICE, None, True, False),
        (ALICE, "alice@laptop", False, True),
        (ALICE, "alice@desktop", True, False),
        (ALICE, "bob@laptop", False, False),
    ],
)
def test_the_owner_decides(lock: Lock, owner: str | None, from_workflow: bool, goes: bool) -> None:
    assert (refusal(lock, owner, from_workflow) is None) is goes


@pytest.fixture
def bucket(aws: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The state bucket of prod with a runner's lock, a person's, and one of another stack."""
    s3 = aws("s3")
    s3.create_bucket(
        Bucket="superagent-pulumi-state", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    for stack, name, lock in (("prod", "1", RUNNER), ("prod", "2", ALICE), ("staging", "3", RUNNER)):
        text = {"pid": lock.pid, "username": lock.user, "hostname": lock.host, "timestamp": lock.since}
        s3.put_object(
            Bucket="superagent-pulumi-state", Key=f"{LOCKS}/{stack}/{name}.json", Body=json.dumps(text)
        )
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    return s3


def left(s3: Any) -> list[str]:
    found = s3.list_objects_v2(Bucket="superagent-pulumi-state").get("Contents", [])
    return [one["Key"].removeprefix(f"{LOCKS}/") for one in found]


def run(*words: str) -> Any:
    return CliRunner().invoke(unlock.main, ["--stack", "prod", *words])


@pytest.mark.component
def test_the_workflow_removes_the_runners_lock_and_leaves_the_persons(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert run("--from-workflow", "--dry-run").exit_code == 1
    assert len(left(bucket)) == 3
    done = run("--from-workflow")
    assert done.exit_code == 1  # one lock is in the way still
    assert left(bucket) == ["prod/2.json", "staging/3.json"]
    assert "alice@laptop" in done.stdout
    assert run("--owner", "alice@laptop").exit_code == 0
    assert left(bucket) == ["staging/3.json"]
    assert "not locked" in run("--owner", "alice@laptop").stdout


@pytest.mark.component
def test_a_laptop_cannot_claim_to_be_the_workflow(bucket: Any) -> None:
    done = run("--from-workflow")
    assert done.exit_code == 2
    assert len(left(bucket)) == 3


@pytest.mark.component
def test_a_file_that_is_no_lock_stops_it_before_anything_is_removed(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put_object(Bucket="superagent-pulumi-state", Key=f"{LOCKS}/prod/x.json", Body=b"[]")
    assert run("--owner", "alice@laptop").exit_code == 1
    assert len(left(bucket)) == 4
