"""The region is gone: the replica in the other one restores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest

from infra.recovery import catalog, restore
from infra.recovery.database import Address
from infra.recovery.store import Store
from tests.infra.recovery.conftest import Cloud, back_up

pytestmark = pytest.mark.component
OTHER = "eu-west-1"


def test_a_replica_in_another_region_restores(
    cloud: Cloud, source: Address, spare: str, moto_endpoint: str
) -> None:
    made = back_up(cloud, source)
    far = boto3.client("s3", region_name=OTHER, endpoint_url=moto_endpoint)
    far.create_bucket(Bucket="replica", CreateBucketConfiguration={"LocationConstraint": OTHER})
    for found in cloud.store.list("backups/"):
        body = cloud.store.get(found.key)
        assert body is not None
        far.put_object(Bucket="replica", Key=found.key, Body=body)
    cloud.s3.delete_object(Bucket=cloud.store.bucket, Key=f"backups/postgres/{made.id}/manifest.json")

    store = Store(far, "replica", need_kms=False)
    found_there = catalog.resolve(store, "postgres", "latest")
    # Replication keeps version ids; the emulator, which does not replicate, cannot.
    copied = replace(found_there, archives=tuple(
        replace(one, segments=tuple(replace(segment, version_id=None) for segment in one.segments))
        for one in found_there.archives
    ))  # fmt: skip
    assert restore.run(store, copied, source, spare, cloud.kms).rows == made.rows


def test_the_command_reads_the_bucket_and_region_it_is_told(
    cloud: Cloud, aws: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, moto_endpoint: str
) -> None:
    from infra.recovery import context
    from infra.stack import environment
    from tests.infra.recovery.test_redis_and_config import OUTPUTS

    monkeypatch.setattr(environment, "load", lambda stack: environment.Environment(OUTPUTS, moto_endpoint))
    place = context.load("prod", "replica", OTHER)
    assert place.store.bucket == "replica"
    assert place.store.client.meta.region_name == OTHER
    assert context.load("prod").store.bucket == OUTPUTS.backup_bucket
