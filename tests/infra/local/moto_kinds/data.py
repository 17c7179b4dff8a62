"""RDS, ElastiCache, AWS Backup, the buckets' replication."""

from __future__ import annotations

from typing import Any, Final

from infra.local.emulated_clients import Aws
from infra.stack.offline import Registration
from tests.infra.local.moto_kinds.kind import Kind, Made, pascal, pick


def subnet_group(aws: Aws, one: Registration) -> Made:
    rds, name, subnets = aws["rds"], one.inputs["name"], one.inputs["subnetIds"]
    rds.create_db_subnet_group(
        DBSubnetGroupName=name, DBSubnetGroupDescription=one.inputs["description"], SubnetIds=subnets
    )

    def read() -> Any:
        (found,) = rds.describe_db_subnet_groups(DBSubnetGroupName=name)["DBSubnetGroups"]
        return [each["SubnetIdentifier"] for each in found["Subnets"]]

    return Made(name, {"name": name}, subnets, read)


def parameter_group(aws: Aws, one: Registration) -> Made:
    rds, name = aws["rds"], one.inputs["name"]
    rds.create_db_parameter_group(
        DBParameterGroupName=name,
        DBParameterGroupFamily=one.inputs["family"],
        Description=one.inputs["description"],
    )
    declared = {each["name"]: (each["value"], each["applyMethod"]) for each in one.inputs["parameters"]}
    rds.modify_db_parameter_group(
        DBParameterGroupName=name,
        Parameters=[
            {"ParameterName": key, "ParameterValue": value, "ApplyMethod": method}
            for key, (value, method) in declared.items()
        ],
    )

    def read() -> Any:
        found = rds.describe_db_parameters(DBParameterGroupName=name, Source="user")["Parameters"]
        return {each["ParameterName"]: (each["ParameterValue"], each["ApplyMethod"]) for each in found}

    return Made(name, {"name": name}, declared, read)


DATABASE: Final = (
    "engine", "engineVersion", "allocatedStorage", "maxAllocatedStorage",
    "backupRetentionPeriod", "storageType", "storageEncrypted", "kmsKeyId", "copyTagsToSnapshot",
    "deletionProtection", "publiclyAccessible", "autoMinorVersionUpgrade", "monitoringInterval",
    "monitoringRoleArn", "vpcSecurityGroupIds", "port", "enabledCloudwatchLogsExports",
)  # fmt: skip


def database(aws: Aws, one: Registration) -> Made:
    """The primary. Replicas are left out: moto gives them the primary's resource id and options."""
    rds, inputs = aws["rds"], one.inputs
    name = inputs["identifier"]
    request = {key: value for key, value in pick(inputs, *DATABASE).items() if not key.startswith("Enabled")}
    request |= pick(
        inputs,
        DBInstanceIdentifier="identifier",
        DBInstanceClass="instanceClass",
        DBName="dbName",
        MasterUsername="username",
        MultiAZ="multiAz",
        DBParameterGroupName="parameterGroupName",
        DBSubnetGroupName="dbSubnetGroupName",
        EnableIAMDatabaseAuthentication="iamDatabaseAuthenticationEnabled",
        EnableCloudwatchLogsExports="enabledCloudwatchLogsExports",
        EnablePerformanceInsights="performanceInsightsEnabled",
        PreferredBackupWindow="backupWindow",
        PreferredMaintenanceWindow="maintenanceWindow",
        ManageMasterUserPassword="manageMasterUserPassword",
    )
    made = rds.create_db_instance(**request)["DBInstance"]

    def read() -> Any:
        return rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]

    same = (
        "Engine", "EngineVersion", "AllocatedStorage", "BackupRetentionPeriod", "StorageType",
        "StorageEncrypted", "KmsKeyId", "CopyTagsToSnapshot", "DeletionProtection", "PubliclyAccessible",
        "AutoMinorVersionUpgrade", "DBInstanceClass", "DBName", "MasterUsername", "MultiAZ",
    )  # fmt: skip
    want = {key: request[key] for key in same} | {
        "IAMDatabaseAuthenticationEnabled": inputs["iamDatabaseAuthenticationEnabled"],
        "DBSubnetGroup": {"DBSubnetGroupName": inputs["dbSubnetGroupName"]},
        "DBParameterGroups": [{"DBParameterGroupName": inputs["parameterGroupName"]}],
        "VpcSecurityGroups": [{"VpcSecurityGroupId": each} for each in inputs["vpcSecurityGroupIds"]],
        "EnabledCloudwatchLogsExports": inputs["enabledCloudwatchLogsExports"],
        "PreferredBackupWindow": inputs["backupWindow"],
    }
    return Made(name, {"arn": made["DBInstanceArn"], "identifier": name}, want, read)


def events(aws: Aws, one: Registration) -> Made:
    rds, inputs = aws["rds"], one.inputs
    name = inputs["name"]
    rds.create_event_subscription(
        SubscriptionName=name,
        SnsTopicArn=inputs["snsTopic"],
        SourceType=inputs["sourceType"],
        SourceIds=inputs["sourceIds"],
        EventCategories=inputs["eventCategories"],
    )
    want = {
        "SnsTopicArn": inputs["snsTopic"],
        "EventCategoriesList": inputs["eventCategories"],
        "SourceIdsList": inputs["sourceIds"],
    }

    def read() -> Any:
        return rds.describe_event_subscriptions(SubscriptionName=name)["EventSubscriptionsList"][0]

    return Made(name, {"name": name}, want, read)


def cache_subnets(aws: Aws, one: Registration) -> Made:
    cache, name, subnets = aws["elasticache"], one.inputs["name"], one.inputs["subnetIds"]
    cache.create_cache_subnet_group(
        CacheSubnetGroupName=name,
        CacheSubnetGroupDescription=one.inputs["description"],
        SubnetIds=subnets,
    )

    def read() -> Any:
        (found,) = cache.describe_cache_subnet_groups(CacheSubnetGroupName=name)["CacheSubnetGroups"]
        return [each["SubnetIdentifier"] for each in found["Subnets"]]

    return Made(name, {"name": name}, subnets, read)


def replication_group(aws: Aws, one: Registration) -> Made:
    """Without its parameter group, which moto does not have."""
    cache, inputs = aws["elasticache"], one.inputs
    name = inputs["replicationGroupId"]
    shared = pick(
        inputs, "atRestEncryptionEnabled", "transitEncryptionEnabled", "kmsKeyId", "snapshotRetentionLimit",
        "snapshotWindow",
    )  # fmt: skip
    cache.create_replication_group(
        ReplicationGroupId=name,
        ReplicationGroupDescription=inputs["description"],
        Engine=inputs["engine"],
        CacheNodeType=inputs["nodeType"],
        NumCacheClusters=inputs["numCacheClusters"],
        AutomaticFailoverEnabled=inputs["automaticFailoverEnabled"],
        MultiAZEnabled=inputs["multiAzEnabled"],
        CacheSubnetGroupName=inputs["subnetGroupName"],
        SecurityGroupIds=inputs["securityGroupIds"],
        **shared,
    )
    want = shared | {
        "AutomaticFailover": "enabled",
        "MultiAZ": "enabled",
        "CacheNodeType": inputs["nodeType"],
    }
    endpoint = {"primaryEndpointAddress": f"master.{name}.example.cache.amazonaws.com"}

    def read() -> Any:
        return cache.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"][0]

    return Made(name, endpoint, want, read)


def vault(aws: Aws, one: Registration) -> Made:
    backup, name = aws["backup"], one.inputs["name"]
    arn = backup.create_backup_vault(BackupVaultName=name, EncryptionKeyArn=one.inputs["kmsKeyArn"])[
        "BackupVaultArn"
    ]
    want = {"EncryptionKeyArn": one.inputs["kmsKeyArn"]}
    outputs = {"arn": arn, "name": name}
    return Made(name, outputs, want, lambda: backup.describe_backup_vault(BackupVaultName=name))


def vault_lock(aws: Aws, one: Registration) -> Made:
    backup, name = aws["backup"], one.inputs["backupVaultName"]
    want = pick(one.inputs, "minRetentionDays")
    backup.put_backup_vault_lock_configuration(BackupVaultName=name, **want)
    return Made(name, {}, want, lambda: backup.describe_backup_vault(BackupVaultName=name))


def plan(aws: Aws, one: Registration) -> Made:
    backup = aws["backup"]
    rules = [
        {
            "RuleName": rule["ruleName"],
            "TargetBackupVaultName": rule["targetVaultName"],
            "ScheduleExpression": rule["schedule"],
            "StartWindowMinutes": rule["startWindow"],
            "CompletionWindowMinutes": rule["completionWindow"],
            "Lifecycle": {"DeleteAfterDays": rule["lifecycle"]["deleteAfter"]},
            "CopyActions": [
                {
                    "DestinationBackupVaultArn": copy["destinationVaultArn"],
                    "Lifecycle": {"DeleteAfterDays": copy["lifecycle"]["deleteAfter"]},
                }
                for copy in rule.get("copyActions", [])
            ],
        }
        for rule in one.inputs["rules"]
    ]
    want = {"BackupPlanName": one.inputs["name"], "Rules": rules}
    identity = backup.create_backup_plan(BackupPlan=want)["BackupPlanId"]
    return Made(identity, {}, want, lambda: backup.get_backup_plan(BackupPlanId=identity)["BackupPlan"])


def replication(aws: Aws, one: Registration) -> Made:
    s3, bucket = aws["s3"], one.inputs["bucket"]
    rules = []
    for rule in pascal(one.inputs["rules"]):
        rule["ID"] = rule.pop("Id")
        target = rule["Destination"]
        target["EncryptionConfiguration"] = {
            "ReplicaKmsKeyID": target["EncryptionConfiguration"]["ReplicaKmsKeyId"]
        }
        rules.append(rule)
    want = {"Role": one.inputs["role"], "Rules": rules}
    s3.put_bucket_replication(Bucket=bucket, ReplicationConfiguration=want)
    short = ("ID", "Status", "Priority", "DeleteMarkerReplication")
    compared = {"Role": want["Role"], "Rules": [{key: each[key] for key in short} for each in rules]}
    return Made(
        bucket,
        {},
        compared,
        lambda: s3.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"],
    )


KINDS: Final[dict[str, Kind]] = {
    "aws:rds/subnetGroup:SubnetGroup": subnet_group,
    "aws:rds/parameterGroup:ParameterGroup": parameter_group,
    "aws:rds/instance:Instance": database,
    "aws:rds/eventSubscription:EventSubscription": events,
    "aws:elasticache/subnetGroup:SubnetGroup": cache_subnets,
    "aws:elasticache/replicationGroup:ReplicationGroup": replication_group,
    "aws:backup/vault:Vault": vault,
    "aws:backup/vaultLockConfiguration:VaultLockConfiguration": vault_lock,
    "aws:backup/plan:Plan": plan,
    "aws:s3/bucketReplicationConfig:BucketReplicationConfig": replication,
}
