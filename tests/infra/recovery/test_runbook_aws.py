"""The runbook's commands for AWS, as they stand on the page, against an emulated account."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner

from infra.cli import main
from infra.recovery import elasticache, rds
from infra.recovery.database import Address
from infra.recovery.store import Store
from infra.stack.pointer import Pointer
from tests.infra.recovery.conftest import Cloud, back_up
from tests.infra.recovery.test_redis_and_config import OUTPUTS
from tests.infra.recovery.test_runbook import commands

pytestmark = pytest.mark.component
OTHER = "eu-west-1"
ELSEWHERE = {"superagent release start --stack prod --version VERSION"}
"""Run by the tests of releases, which have fleets."""


@dataclass(frozen=True)
class Prod:
    """An account with a database instance, as a machine of that account sees it."""

    cloud: Cloud
    source: Address

    def run(self, line: str, **values: str) -> Any:
        assert line in commands("aws"), f"the runbook has no line {line!r}"
        words = [word for part in shlex.split(line)[1:] for word in [self.replaced(part, values)]]
        done = CliRunner().invoke(main, [*words, "--json"])
        assert done.exit_code == 0, done.output
        RAN.add(line)
        return json.loads(done.stdout)

    def replaced(self, word: str, values: dict[str, str]) -> str:
        for name, value in values.items():
            word = value if word == name else word.replace(f":{name}", f":{value}")
        return word

    def pointer(self) -> Pointer:
        found = self.cloud.client("ssm").get_parameter(Name=OUTPUTS.database_pointer)
        return Pointer.parse(found["Parameter"]["Value"])


RAN: set[str] = set()


@pytest.fixture
def prod(cloud: Cloud, source: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Prod]:
    outputs = replace(OUTPUTS, compute="ec2", environment="prod", backup_bucket=cloud.store.bucket)
    files = {"outputs": json.dumps(asdict(outputs)), "database_url": source.url()}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        monkeypatch.setenv(f"SUPERAGENT_{name.upper()}_FILE", str(tmp_path / name))
    monkeypatch.setenv("SUPERAGENT_HOME", str(tmp_path / "home"))
    cloud.client("rds").create_db_instance(
        DBInstanceIdentifier="sa-db", Engine="postgres", DBName="superagent", DBInstanceClass="db.r7g.large",
        AllocatedStorage=100, MasterUsername="owner", ManageMasterUserPassword=True, MultiAZ=True,
        BackupRetentionPeriod=35, Port=5433,
    )  # fmt: skip
    value = str(Pointer("sa-db", source.name))
    cloud.client("ssm").put_parameter(Name=OUTPUTS.database_pointer, Value=value, Type="String")
    made = Prod(cloud, source)
    yield made
    if made.pointer().database != source.name:
        with source.database("postgres").connect() as connection:
            connection.execute(f"drop database if exists {made.pointer().database} with (force)")  # type: ignore[arg-type]


def test_an_instance_comes_back_from_its_snapshot(prod: Prod) -> None:
    rds.snapshot(prod.cloud.client("rds"), "sa-db", "nightly", poll=0)
    planned = prod.run("superagent restore --stack prod --from rds:NAME --dry-run", NAME="nightly")
    assert planned["attributes"]["MultiAZ"] is True
    assert prod.pointer().instance == "sa-db"
    prod.run("superagent restore --stack prod --from rds:NAME --cutover", NAME="nightly")
    assert prod.pointer() == Pointer(planned["target"], prod.source.name)


def test_an_instance_comes_back_as_of_a_moment(prod: Prod) -> None:
    moment = datetime.now(UTC) - timedelta(minutes=10)
    line = "superagent restore --stack prod --to-time TIME --cutover"
    report = prod.run(line, TIME=moment.isoformat())
    assert report["cutover"]["before"] == f"sa-db/{prod.source.name}"
    assert prod.pointer().instance == report["target"] != "sa-db"


def test_the_other_regions_bucket_and_key_are_enough_for_a_restore(prod: Prod) -> None:
    far, kms = boto3.client("s3", region_name=OTHER), boto3.client("kms", region_name=OTHER)
    key = kms.create_key()["KeyMetadata"]["Arn"]
    far.create_bucket(Bucket="replica", CreateBucketConfiguration={"LocationConstraint": OTHER})
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    far.put_bucket_encryption(Bucket="replica", ServerSideEncryptionConfiguration={"Rules": [rule]})
    made = back_up(replace(prod.cloud, kms=kms), prod.source, Store(far, "replica"), kms_key=key)

    line = "superagent restore --stack prod --bucket REPLICA --region REGION --cutover"
    report = prod.run(line, REPLICA="replica", REGION=OTHER)

    assert report["restored"]["rows"] == made.rows
    assert prod.pointer() == Pointer("sa-db", report["restored"]["database"])


def test_a_cache_comes_back_from_its_snapshot(prod: Prod, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = prod.cloud.client("elasticache")
    cache.create_replication_group(
        ReplicationGroupId="cache", ReplicationGroupDescription="c", Engine="valkey",
        CacheNodeType="cache.t4g.small", NumCacheClusters=2, AutomaticFailoverEnabled=True,
    )  # fmt: skip
    elasticache.snapshot(cache, "cache", "nightly", poll=0)
    # The emulator knows no members, of which the security groups are asked.
    monkeypatch.setattr(elasticache, "security_groups", lambda *_: ["sg-1"])
    line = "superagent restore --stack prod --only redis --from elasticache:NAME"
    planned = prod.run(f"{line} --dry-run", NAME="nightly")
    assert prod.run(line, NAME="nightly")["target"] == planned["target"]


def test_a_missed_turn_is_run_by_hand_and_only_once(prod: Prod) -> None:
    line = "superagent schedule run backup --stack prod"
    assert prod.run(line)["state"] == "done"
    kinds = {item.key.split("/")[1] for item in prod.cloud.store.list("backups/")}
    assert kinds == {"postgres", "config"}
    assert prod.run(line)["state"] == "done before or elsewhere"


def test_every_command_for_aws_was_run_above() -> None:
    assert {*commands("aws")} - ELSEWHERE <= RAN or not RAN, "run this file as a whole"
