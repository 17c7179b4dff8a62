"""A backup bucket as the stack declares it, a lease table, and a database with the awkward things in it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from botocore.config import Config

from infra.recovery.backup import Draft, postgres
from infra.recovery.database import Address
from infra.recovery.lease import hold
from infra.recovery.manifest import Manifest
from infra.recovery.store import Store
from tests.parts import REGION

SCHEMA = (Path(__file__).parent / "schema.sql").read_text()

ROWS = r'''
insert into tenants (name, mood, tags)
  select 'tenant ' || n || E'\t\n\\',
         (array['calm','tense']::mood[])[1 + n %% 2], array['a', null, n::text]
    from generate_series(1, %(n)s) n;
insert into billing."Odd ""Name"""
  select gen_random_uuid(), 1 + n %% 10, n, n / 7.0, jsonb_build_object('n', n), decode(md5(n::text), 'hex'),
         json_build_object('k', n), '10.0.0.1' from generate_series(1, %(n)s) n;
insert into events select date '2026-01-01' + n %% 360, n, repeat(md5(n::text), 4)
  from generate_series(1, %(n)s) n;
refresh materialized view totals;
'''


def fill(url: str, rows: int = 500) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        for statement in ROWS.split(";"):
            if statement.strip():
                connection.execute(statement, {"n": rows})


@dataclass(frozen=True)
class Cloud:
    """Clients of one empty account with a bucket, a key and a lease table in it."""

    store: Store
    table: Any
    kms: Any
    s3: Any
    key: str
    client: Callable[[str], Any]


def make_bucket(s3: Any, key: str, lock: bool = False) -> str:
    name = f"backups-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(
        Bucket=name,
        CreateBucketConfiguration={"LocationConstraint": REGION},
        ObjectLockEnabledForBucket=lock,
    )
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
    return name


@pytest.fixture
def cloud(aws: Callable[[str], Any], moto_endpoint: str) -> Cloud:
    s3, kms = aws("s3"), aws("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    aws("dynamodb").create_table(
        TableName="release",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    table = boto3.resource("dynamodb", region_name=REGION, endpoint_url=moto_endpoint).Table("release")
    return Cloud(Store(s3, make_bucket(s3, key)), table, kms, s3, key, aws)


@pytest.fixture
def quick_s3(moto_endpoint: str) -> Callable[[str], Any]:
    """An S3 client towards any endpoint, with few and fast retries."""
    config = Config(retries={"mode": "standard", "max_attempts": 3}, connect_timeout=2, read_timeout=5)
    return lambda endpoint: boto3.client("s3", region_name=REGION, endpoint_url=endpoint, config=config)


@pytest.fixture
def source(database_url: str) -> Address:
    """A filled database."""
    fill(database_url)
    return Address.parse(database_url)


@pytest.fixture
def spare(source: Address) -> Iterator[str]:
    """Name of a database that a test may create; dropped afterwards."""
    name = f"r_{uuid.uuid4().hex[:12]}"
    yield name
    with source.database("postgres").connect() as connection:
        connection.execute(f"drop database if exists {name} with (force)")  # type: ignore[arg-type]


def back_up(
    cloud: Cloud, source: Address, store: Store | None = None, kms_key: str | None = None
) -> Manifest:
    with hold(cloud.table, "backup postgres") as lease:
        draft = Draft(store or cloud.store, "postgres", "test", cloud.kms, kms_key)
        return postgres(draft, source, lease)
