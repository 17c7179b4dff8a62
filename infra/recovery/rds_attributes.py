"""What an RDS instance is, attribute by attribute (pure), so that a restored one can be made and checked.

RDS gives a restored instance the default security group, the default parameter group, one zone and no
deletion protection unless each is named in the call. The table below is the whole list; whatever a call
cannot take is set by a modification afterwards, and everything is read back.
"""

from __future__ import annotations

from typing import Any, Final

RESTORED_FROM: Final = "superagent:restored-from"
"""Tag by which the instance of an interrupted run is told from any other of that name; never handed on."""
SMALL_GP3_GIB: Final = 400
"""Below this, gp3 volumes have a fixed rate and RDS refuses to be told one."""

# name in describe → name in both restore calls ("" = only by modification)
PLAIN: Final[dict[str, str]] = {
    "DBInstanceClass": "DBInstanceClass",
    "MultiAZ": "MultiAZ",
    "PubliclyAccessible": "PubliclyAccessible",
    "StorageType": "StorageType",
    "AutoMinorVersionUpgrade": "AutoMinorVersionUpgrade",
    "CopyTagsToSnapshot": "CopyTagsToSnapshot",
    "IAMDatabaseAuthenticationEnabled": "EnableIAMDatabaseAuthentication",
    "DeletionProtection": "DeletionProtection",
    "BackupRetentionPeriod": "BackupRetentionPeriod",
    "PreferredBackupWindow": "PreferredBackupWindow",
    "CACertificateIdentifier": "CACertificateIdentifier",
    "NetworkType": "NetworkType",
    "LicenseModel": "LicenseModel",
    "DedicatedLogVolume": "DedicatedLogVolume",
    "EngineLifecycleSupport": "EngineLifecycleSupport",
    "Iops": "Iops",
    "StorageThroughput": "StorageThroughput",
    "MaxAllocatedStorage": "",
    "PreferredMaintenanceWindow": "",
    "MonitoringInterval": "",
    "MonitoringRoleArn": "",
    "PerformanceInsightsEnabled": "",
    "PerformanceInsightsKMSKeyId": "",
    "PerformanceInsightsRetentionPeriod": "",
}
MODIFY_NAME: Final = {
    "IAMDatabaseAuthenticationEnabled": "EnableIAMDatabaseAuthentication",
    "PerformanceInsightsEnabled": "EnablePerformanceInsights",
    "Port": "DBPortNumber",
    "SecurityGroups": "VpcSecurityGroupIds",
    "ParameterGroup": "DBParameterGroupName",
    "OptionGroup": "OptionGroupName",
}
FIXED: Final = frozenset({"SubnetGroup", "KmsKeyId", "StorageEncrypted", "Engine", "DBName", "LicenseModel"})
"""Read back, but no modification can change them."""


def of(instance: dict[str, Any]) -> dict[str, Any]:
    """The attributes of an instance as `describe_db_instances` gives it; absent ones are left out."""
    found: dict[str, Any] = {name: instance[name] for name in PLAIN if instance.get(name) is not None}
    if instance.get("StorageType") == "gp3" and int(instance.get("AllocatedStorage", 0)) < SMALL_GP3_GIB:
        found.pop("Iops", None)
        found.pop("StorageThroughput", None)
    for name in ("Engine", "DBName", "KmsKeyId", "StorageEncrypted"):
        if instance.get(name) is not None:
            found[name] = instance[name]
    found["SecurityGroups"] = sorted(
        group["VpcSecurityGroupId"] for group in instance.get("VpcSecurityGroups", [])
    )
    groups = instance.get("DBParameterGroups", [])
    if groups:
        found["ParameterGroup"] = groups[0]["DBParameterGroupName"]
    options = instance.get("OptionGroupMemberships", [])
    if options and not options[0]["OptionGroupName"].startswith("default:"):
        found["OptionGroup"] = options[0]["OptionGroupName"]
    if "DBSubnetGroup" in instance:
        found["SubnetGroup"] = instance["DBSubnetGroup"]["DBSubnetGroupName"]
    port = instance.get("Endpoint", {}).get("Port") or instance.get("DbInstancePort")
    if port:
        found["Port"] = port
    found["LogExports"] = sorted(instance.get("EnabledCloudwatchLogsExports", []))
    found["ManagedPassword"] = "MasterUserSecret" in instance
    if found["ManagedPassword"] and (key := instance["MasterUserSecret"].get("KmsKeyId")):
        found["PasswordKey"] = key
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("TagList", [])}
    found["Tags"] = {key: value for key, value in tags.items() if key != RESTORED_FROM}
    return found


def restore_arguments(wanted: dict[str, Any], to_time: bool) -> dict[str, Any]:
    """Arguments of the restore call besides source and target."""
    arguments = {there: wanted[here] for here, there in PLAIN.items() if there and here in wanted}
    if to_time and "MaxAllocatedStorage" in wanted:
        arguments["MaxAllocatedStorage"] = wanted["MaxAllocatedStorage"]
    names = {
        "SecurityGroups": "VpcSecurityGroupIds",
        "ParameterGroup": "DBParameterGroupName",
        "OptionGroup": "OptionGroupName",
        "SubnetGroup": "DBSubnetGroupName",
        "Port": "Port",
        "LogExports": "EnableCloudwatchLogsExports",
    }
    arguments |= {there: wanted[here] for here, there in names.items() if wanted.get(here)}
    if wanted["ManagedPassword"]:
        arguments["ManageMasterUserPassword"] = True
        if "PasswordKey" in wanted:
            arguments["MasterUserSecretKmsKeyId"] = wanted["PasswordKey"]
    if wanted["Tags"]:
        arguments["Tags"] = [{"Key": key, "Value": value} for key, value in sorted(wanted["Tags"].items())]
    return arguments


def differences(wanted: dict[str, Any], actual: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Attributes that are not as wanted: (wanted, actual)."""
    told = {
        name: (value, actual.get(name))
        for name, value in wanted.items()
        if name not in ("PasswordKey", "Tags") and actual.get(name) != value
    }
    missing = {key: value for key, value in wanted["Tags"].items() if actual["Tags"].get(key) != value}
    if missing:
        told["Tags"] = (missing, {key: actual["Tags"].get(key) for key in missing})
    return told


def modify_arguments(different: dict[str, tuple[Any, Any]]) -> dict[str, Any]:
    """Arguments of one modification that mends what a modification can mend."""
    arguments: dict[str, Any] = {}
    for name, (want, have) in different.items():
        if name in FIXED or name == "Tags":
            continue
        if name == "LogExports":
            arguments["CloudwatchLogsExportConfiguration"] = {
                "EnableLogTypes": sorted(set(want) - set(have or [])),
                "DisableLogTypes": sorted(set(have or []) - set(want)),
            }
        elif name == "ManagedPassword":
            arguments["ManageMasterUserPassword"] = want
        else:
            arguments[MODIFY_NAME.get(name, name)] = want
    return arguments
