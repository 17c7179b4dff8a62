"""The whole RDS way: a new instance, the pointer, and what is remembered of an instance that is gone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from infra.cli import main
from infra.errors import UserError
from infra.recovery import config_backup, context, cutover, rds, rds_attributes, rds_restore
from infra.recovery.backup import Draft
from infra.recovery.context import Context
from infra.recovery.lease import hold
from infra.stack.environment import Environment
from tests.infra.recovery.conftest import Cloud
from tests.infra.recovery.test_redis_and_config import OUTPUTS

pytestmark = pytest.mark.component
MOMENT = datetime(2026, 11, 23, 1, 59, 59, tzinfo=UTC)


@pytest.fixture
def place(cloud: Cloud, moto_endpoint: str) -> Context:
    outputs = replace(OUTPUTS, compute="ec2", environment="prod", backup_bucket=cloud.store.bucket)
    cloud.client("rds").create_db_instance(
        DBInstanceIdentifier="sa-db", Engine="postgres", DBName="superagent", DBInstanceClass="db.r7g.large",
        AllocatedStorage=100, MasterUsername="owner", ManageMasterUserPassword=True, MultiAZ=True,
        DeletionProtection=True, BackupRetentionPeriod=35, CopyTagsToSnapshot=True, Port=5433,
        Tags=[{"Key": "environment", "Value": "prod"}],
    )  # fmt: skip
    cloud.client("ssm").put_parameter(Name=OUTPUTS.database_pointer, Value="sa-db/superagent", Type="String")
    return Context(Environment(outputs, moto_endpoint), cloud.store)


def perform(place: Context, **change: Any) -> dict[str, Any]:
    wish: dict[str, Any] = {
        "instance": None, "source": "latest", "moment": MOMENT,
        "into": "new", "switch": False, "dry_run": False,
    } | change  # fmt: skip
    return rds_restore.perform(place, **wish, poll=0)


def test_a_moment_becomes_a_new_instance_and_the_pointer_follows(place: Context) -> None:
    report = perform(place, switch=True)
    assert report["target"] == "sa-db-r20261123015959"
    assert str(cutover.pointer(place)) == report["target"] + "/superagent"
    assert report["cutover"]["before"] == "sa-db/superagent"
    assert rds.describe(place.client("rds"), "sa-db")["DBInstanceStatus"] == "available"


def test_an_instance_that_no_restore_made_is_not_taken_for_one(place: Context) -> None:
    """It would be changed, called restored, and become the database in use."""
    for into in ("sa-db", perform(place)["target"]):
        other = MOMENT + timedelta(hours=1)
        with pytest.raises(UserError, match=f"There is an RDS instance {into} already"):
            perform(place, into=into, moment=other, switch=True)
    assert str(cutover.pointer(place)) == "sa-db/superagent"


def test_a_restored_instance_can_be_restored_in_its_turn(place: Context) -> None:
    first = perform(place, switch=True)["target"]
    assert perform(place, switch=True)["target"] == first, "said again, nothing more is made"
    second = perform(place, moment=MOMENT + timedelta(hours=1))["target"]
    marks = {
        one["DBInstanceIdentifier"]: [tag["Value"] for tag in one["TagList"] if "restored" in tag["Key"]]
        for one in place.client("rds").describe_db_instances()["DBInstances"]
    }
    assert marks == {
        "sa-db": [],
        first: [MOMENT.isoformat()],
        second: [(MOMENT + timedelta(hours=1)).isoformat()],
    }


def test_a_dry_run_makes_nothing(place: Context) -> None:
    report = perform(place, dry_run=True)
    assert report["attributes"]["MultiAZ"] is True
    assert len(place.client("rds").describe_db_instances()["DBInstances"]) == 1
    assert str(cutover.pointer(place)) == "sa-db/superagent"


def test_a_dry_run_of_a_switch_switches_nothing_and_sees_whether_it_could(
    place: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "load", lambda *_: place)
    rds.snapshot(place.client("rds"), "sa-db", "nightly", poll=0)
    target = perform(place, source="rds:nightly", moment=None)["target"]

    def switch(to: str, *words: str) -> Any:
        return CliRunner().invoke(main, ["restore", "--stack", "prod", "--switch-to", to, "--json", *words])

    done = switch(f"{target}/superagent", "--dry-run")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {
        "dry_run": True, "would_switch": {"pointer": f"{target}/superagent", "before": "sa-db/superagent"}
    }  # fmt: skip
    assert str(cutover.pointer(place)) == "sa-db/superagent"
    assert switch("nobody/superagent", "--dry-run").exit_code == 2
    assert json.loads(switch(f"{target}/superagent").stdout)["cutover"]["before"] == "sa-db/superagent"
    assert str(cutover.pointer(place)) == f"{target}/superagent"


def test_the_same_wish_finds_the_same_instance_again(place: Context) -> None:
    rds.snapshot(place.client("rds"), "sa-db", "nightly", poll=0)
    first = perform(place, source="rds:nightly", moment=None)
    assert perform(place, source="rds:nightly", moment=None)["target"] == first["target"]
    assert len(place.client("rds").describe_db_instances()["DBInstances"]) == 2


def test_an_instance_that_is_gone_is_remade_as_the_configuration_backup_remembers_it(
    place: Context, cloud: Cloud
) -> None:
    client = place.client("rds")
    wanted = rds_attributes.of(rds.describe(client, "sa-db"))
    rds.snapshot(client, "sa-db", "last", poll=0)
    with hold(cloud.table, "backup config") as lease:
        document = config_backup.collect(place.env.outputs, place.client("ssm"), cloud.table, wanted)
        config_backup.create(Draft(cloud.store, "config", "prod"), document, lease)
    client.modify_db_instance(DBInstanceIdentifier="sa-db", DeletionProtection=False)
    client.delete_db_instance(DBInstanceIdentifier="sa-db", SkipFinalSnapshot=True)

    report = perform(place, source="rds:last", moment=None)

    assert report["attributes_from"].startswith("backup ")
    made = rds_attributes.of(rds.describe(client, report["target"]))
    assert rds_attributes.differences(wanted, made) == {}
    assert made["DeletionProtection"] is True


def test_an_instance_that_nobody_remembers_is_refused(place: Context) -> None:
    with pytest.raises(UserError, match="There is no RDS instance 'other'"):
        perform(place, instance="other")
