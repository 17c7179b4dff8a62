"""A restored RDS instance is the instance that was lost, attribute by attribute."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.errors import OperationFailed, UserError
from infra.recovery import rds, rds_attributes

Source = dict[str, Any]

FULL: Source = {
    "DBInstanceIdentifier": "prod-db", "DBInstanceClass": "db.r7g.xlarge", "MultiAZ": True,
    "PubliclyAccessible": False,
    "StorageType": "gp3", "AllocatedStorage": 500, "Iops": 12000, "StorageThroughput": 500,
    "AutoMinorVersionUpgrade": False, "CopyTagsToSnapshot": True, "IAMDatabaseAuthenticationEnabled": True,
    "DeletionProtection": True, "BackupRetentionPeriod": 35,
    "PreferredBackupWindow": "01:00-01:30", "CACertificateIdentifier": "rds-ca-rsa2048-g1",
    "NetworkType": "IPV4",
    "LicenseModel": "postgresql-license",
    "MaxAllocatedStorage": 2000, "PreferredMaintenanceWindow": "sun:03:00-sun:04:00",
    "MonitoringInterval": 60,
    "MonitoringRoleArn": "arn:role", "PerformanceInsightsEnabled": True,
    "PerformanceInsightsKMSKeyId": "k",
    "PerformanceInsightsRetentionPeriod": 7, "Engine": "postgres", "DBName": "superagent", "KmsKeyId": "key",
    "StorageEncrypted": True,
    "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-2"}, {"VpcSecurityGroupId": "sg-1"}],
    "DBParameterGroups": [{"DBParameterGroupName": "tuned"}], "DBSubnetGroup": {"DBSubnetGroupName": "data"},
    "OptionGroupMemberships": [{"OptionGroupName": "default:postgres-17"}], "Endpoint": {"Port": 5433},
    "EnabledCloudwatchLogsExports": ["upgrade", "postgresql"], "MasterUserSecret": {"KmsKeyId": "secret-key"},
    "TagList": [{"Key": "team", "Value": "core"}],
}  # fmt: skip


def test_every_attribute_is_named_in_the_call_or_set_afterwards() -> None:
    wanted = rds_attributes.of(FULL)
    call = rds_attributes.restore_arguments(wanted, to_time=False)
    assert call["VpcSecurityGroupIds"] == ["sg-1", "sg-2"]
    assert call["DBParameterGroupName"] == "tuned"
    assert call["DBSubnetGroupName"] == "data"
    assert (call["MultiAZ"], call["DeletionProtection"], call["Port"]) == (True, True, 5433)
    assert (call["ManageMasterUserPassword"], call["MasterUserSecretKmsKeyId"]) == (True, "secret-key")
    assert "MaxAllocatedStorage" not in call
    assert rds_attributes.restore_arguments(wanted, to_time=True)["MaxAllocatedStorage"] == 2000
    bare = dict.fromkeys(wanted) | {"Tags": {}, "LogExports": []}
    later = rds_attributes.modify_arguments(rds_attributes.differences(wanted, bare))
    reachable = set(call) | set(later)
    assert {"MaxAllocatedStorage", "MonitoringInterval", "MonitoringRoleArn", "EnablePerformanceInsights",
            "PerformanceInsightsRetentionPeriod", "PreferredMaintenanceWindow"} <= set(later)  # fmt: skip
    assert not {name for name, there in rds_attributes.PLAIN.items() if there and there not in reachable
                and name in wanted}  # fmt: skip


def test_small_gp3_volumes_are_not_told_a_rate() -> None:
    wanted = rds_attributes.of({**FULL, "AllocatedStorage": 100, "Iops": 3000, "StorageThroughput": 125})
    assert "Iops" not in rds_attributes.restore_arguments(wanted, to_time=False)


@pytest.mark.parametrize("name", sorted(set(rds_attributes.of(FULL)) - {"PasswordKey", "Tags"}))
def test_a_difference_in_any_attribute_is_found(name: str) -> None:
    wanted = rds_attributes.of(FULL)
    assert rds_attributes.differences(wanted, wanted) == {}
    assert list(rds_attributes.differences(wanted, {**wanted, name: "other"})) == [name]


@pytest.fixture
def source(aws: Callable[[str], Any]) -> tuple[Any, dict[str, Any]]:
    """An instance in the emulator with nothing left at its default."""
    ec2, client = aws("ec2"), aws("rds")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{n}.0/24", AvailabilityZone=f"eu-central-1{zone}")
        for n, zone in enumerate("ab")
    ]
    ids = [subnet["Subnet"]["SubnetId"] for subnet in subnets]
    group = ec2.create_security_group(GroupName="db", Description="db", VpcId=vpc)["GroupId"]
    client.create_db_subnet_group(DBSubnetGroupName="data", DBSubnetGroupDescription="d", SubnetIds=ids)
    client.create_db_parameter_group(
        DBParameterGroupName="tuned", DBParameterGroupFamily="postgres17", Description="t"
    )
    key = aws("kms").create_key()["KeyMetadata"]["Arn"]
    client.create_db_instance(
        DBInstanceIdentifier="prod-db", Engine="postgres", EngineVersion="17.5", DBName="superagent",
        DBInstanceClass="db.r7g.large", AllocatedStorage=100, StorageType="gp3", MaxAllocatedStorage=500,
        MasterUsername="owner", ManageMasterUserPassword=True, MultiAZ=True, DeletionProtection=True,
        VpcSecurityGroupIds=[group], DBSubnetGroupName="data", DBParameterGroupName="tuned", Port=5433,
        BackupRetentionPeriod=35, PreferredBackupWindow="01:00-01:30", CopyTagsToSnapshot=True,
        PreferredMaintenanceWindow="sun:03:00-sun:04:00", EnableIAMDatabaseAuthentication=True,
        EnableCloudwatchLogsExports=["postgresql", "upgrade"], StorageEncrypted=True, KmsKeyId=key,
        AutoMinorVersionUpgrade=False, PubliclyAccessible=False, EnablePerformanceInsights=True,
        PerformanceInsightsRetentionPeriod=7, MonitoringInterval=0,
        Tags=[{"Key": "environment", "Value": "prod"}, {"Key": "team", "Value": "core"}],
    )  # fmt: skip
    return client, client.describe_db_instances(DBInstanceIdentifier="prod-db")["DBInstances"][0]


@pytest.mark.component
def test_a_snapshot_comes_back_as_the_same_instance(source: tuple[Any, Source]) -> None:
    client, old = source
    wanted = rds_attributes.of(old)
    made = rds.snapshot(client, "prod-db", "before-release", poll=0)
    assert made["Status"] == "available"
    done = rds.restore(client, wanted, "prod-db-r1", "prod-db", snapshot_id="before-release", poll=0)
    actual = rds_attributes.of(rds.describe(client, "prod-db-r1"))
    assert rds_attributes.differences(wanted, actual) == {}
    assert done.attributes == len(wanted) > 20
    assert done.endpoint.endswith(":5433")


@pytest.mark.component
def test_a_moment_comes_back_as_the_same_instance_and_a_second_try_goes_on(
    source: tuple[Any, Source],
) -> None:
    client, old = source
    wanted = rds_attributes.of(old)
    moment = datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC)
    for _ in range(2):
        rds.restore(client, wanted, "prod-db-r2", "prod-db", moment=moment, poll=0)
    assert rds_attributes.differences(wanted, rds_attributes.of(rds.describe(client, "prod-db-r2"))) == {}
    assert rds_attributes.of(rds.describe(client, "prod-db")) == wanted


@pytest.mark.component
def test_an_instance_that_stays_different_is_not_called_restored(source: tuple[Any, Source]) -> None:
    client, old = source
    rds.snapshot(client, "prod-db", "s", poll=0)
    wanted = {**rds_attributes.of(old), "DBName": "another"}
    with pytest.raises(OperationFailed, match="DBName is 'superagent', not 'another'"):
        rds.restore(client, wanted, "prod-db-r3", "prod-db", snapshot_id="s", poll=0)


@pytest.mark.parametrize(
    "state", ["failed", "restore-error", "inaccessible-encryption-credentials", "incompatible-option-group"]
)
def test_a_state_that_never_ends_well_is_not_waited_out(state: str) -> None:
    states = iter(["creating", state])
    with pytest.raises(OperationFailed, match=f"new-db is {state}"):
        rds._wait(lambda: next(states), "new-db", poll=0)


@pytest.mark.component
def test_an_instance_that_is_not_there_is_named(source: tuple[Any, Source]) -> None:
    with pytest.raises(UserError, match="There is no RDS instance 'nowhere'"):
        rds.describe(source[0], "nowhere")


def test_a_new_name_fits_and_does_not_grow_with_every_restore() -> None:
    first = rds.new_name("superagent-prod-database", datetime(2026, 11, 23, 2, tzinfo=UTC))
    assert first == "superagent-prod-database-r20261123020000"
    assert (
        rds.new_name(first, datetime(2026, 12, 1, tzinfo=UTC)) == "superagent-prod-database-r20261201000000"
    )
    assert len(rds.new_name("x" * 63)) <= 63
