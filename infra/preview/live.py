"""What AWS says of the things that matter most, in the words of their declaration.

Asked are the resources that the release and recovery tools own and those that hold data; everything else is
what `pulumi refresh` is for. Every probe answers with input paths (`defaultActions[0].forward…`) and the
value there is now; `None` means that AWS does not know the thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from infra.errors import OperationFailed
from infra.policy.access import LISTENER
from infra.policy.data import BUCKET, CACHE, DATABASE, TABLE
from infra.policy.hygiene import GROUP
from infra.policy.model import Resource
from infra.preview.drift import PARAMETER, Classified, gone, judge, not_compared, unread
from infra.preview.estate import Recorded
from infra.preview.live_cluster import TYPES, Get, differences
from infra.preview.live_cluster import path as place_of
from infra.stack.outputs import COLOURS, StackOutputs

BALANCER: Final = "aws:lb/loadBalancer:LoadBalancer"
TARGETS: Final = "aws:lb/targetGroup:TargetGroup"
PROGRAM: Final = ("pulumi:", "superagent:")
"""The stack, providers and components: nothing of theirs is in AWS."""
KEY_ALIAS: Final = "aws:kms/alias:Alias"
Values = Mapping[str, Any]
Client = Callable[[str], Any]
Clients = Callable[[str, str], Any]
Probe = Callable[[Client, StackOutputs, Resource], Values | None]


def compare(
    estate: Recorded, outputs: StackOutputs, clients: Clients, cluster: Get | None = None
) -> list[Classified]:
    """Every difference between the declaration and what there is, drift first. Only reads.

    `clients` makes boto3 clients of a service in a region; `cluster` gets objects of Kubernetes. What gives
    no answer is in the result as `unread`, what nobody here asks about as `unasked`: nothing is passed over.
    """
    found = [
        one
        for each in estate.resources.values()
        if not each.type.startswith(PROGRAM)
        for one in _resource(each, outputs, clients, cluster)
    ]
    return sorted(found, key=lambda one: (not one.drift, one.clean, one.urn, one.path))


def _resource(
    one: Resource, outputs: StackOutputs, clients: Clients, cluster: Get | None
) -> Iterator[Classified]:
    try:
        if one.type.startswith(TYPES):
            yield from _object(one, cluster)
        else:
            region = one.at("region", outputs.region)
            yield from _answer(one, outputs, lambda service: clients(service, region))
    except ClientError as error:
        yield unread(one.urn, one.type, f"{error.response['Error']['Code']} from AWS")
    except (EndpointConnectionError, ConnectTimeoutError, ReadTimeoutError) as failed:
        yield unread(one.urn, one.type, f"AWS is away: {type(failed).__name__}")
    except OperationFailed as failed:
        yield unread(one.urn, one.type, failed.message)


def _object(one: Resource, cluster: Get | None) -> Iterator[Classified]:
    where = place_of(one)
    if where is None:
        yield not_compared(one.urn, one.type, "", "no single object of the cluster")
    elif cluster is None:
        yield unread(one.urn, one.type, "there is no way into the cluster: see the message above")
    else:
        yield from differences(one, where, cluster)


def _answer(one: Resource, outputs: StackOutputs, client: Client) -> Iterator[Classified]:
    probe = PROBES.get(one.type)
    if probe is None:
        yield not_compared(one.urn, one.type, "", "no probe of this type")
        return
    try:
        live = probe(client, outputs, one)
    except ClientError as error:
        if not _missing(error):
            raise
        live = None
    if live is None:
        yield gone(one.urn, one.type)
        return
    for path, now in live.items():
        declared = at(one.inputs, path)
        if declared is not None and str(declared).lower() != str(now).lower():
            yield judge(one.urn, one.type, path, f"{declared} → {now}")


def at(value: Any, path: str) -> Any:
    """The declared value at a path such as `a.b[0].c`; `None` when the declaration leaves it open."""
    for part in path.replace("[", ".").replace("]", "").split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _missing(error: ClientError) -> bool:
    code = error.response["Error"]["Code"]
    return "NotFound" in code or code.startswith("NoSuch")


def _listener(client: Client, outputs: StackOutputs, one: Resource) -> Values | None:
    arns = {"production": outputs.listener_arn, "test": outputs.test_listener_arn}
    if one.name not in arns:
        return {}
    found = client("elbv2").describe_listeners(ListenerArns=[arns[one.name]])["Listeners"]
    if not found:
        return None
    forward = found[0]["DefaultActions"][0].get("ForwardConfig") or {}
    weights = {each["TargetGroupArn"]: each.get("Weight", 1) for each in forward.get("TargetGroups", [])}
    sticky = forward.get("TargetGroupStickinessConfig") or {}
    base = "defaultActions[0].forward"
    values = {
        "defaultActions[0].type": found[0]["DefaultActions"][0]["Type"],
        "port": found[0]["Port"],
        "protocol": found[0]["Protocol"],
        "sslPolicy": found[0].get("SslPolicy"),
        f"{base}.stickiness.enabled": sticky.get("Enabled", False),
    }
    for index, group in enumerate(at(one.inputs, f"{base}.targetGroups") or []):
        colour = next(each for each in COLOURS if each in group["arn"])
        weight = weights.get(outputs.target_group_arns[colour], 0)
        values[f"{base}.targetGroups[{index}].weight"] = weight
    return values


def _target_group(client: Client, outputs: StackOutputs, one: Resource) -> Values | None:
    arn = outputs.target_group_arns[next(each for each in COLOURS if one.name.endswith(each))]
    elb = client("elbv2")
    (found,) = elb.describe_target_groups(TargetGroupArns=[arn])["TargetGroups"]
    attributes = _attributes(elb.describe_target_group_attributes(TargetGroupArn=arn))
    return {
        "port": found["Port"],
        "targetType": found["TargetType"],
        "healthCheck.path": found["HealthCheckPath"],
        "healthCheck.interval": found["HealthCheckIntervalSeconds"],
        "healthCheck.timeout": found["HealthCheckTimeoutSeconds"],
        "deregistrationDelay": attributes.get("deregistration_delay.timeout_seconds"),
        "stickiness.cookieDuration": attributes.get("stickiness.lb_cookie.duration_seconds"),
        "stickiness.enabled": attributes.get("stickiness.enabled"),
        "loadBalancingAlgorithmType": attributes.get("load_balancing.algorithm.type"),
    }


def _load_balancer(client: Client, outputs: StackOutputs, one: Resource) -> Values | None:
    attributes = _attributes(
        client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=outputs.alb_arn)
    )
    return {
        "idleTimeout": attributes.get("idle_timeout.timeout_seconds"),
        "enableDeletionProtection": attributes.get("deletion_protection.enabled"),
        "dropInvalidHeaderFields": attributes.get("routing.http.drop_invalid_header_fields.enabled"),
    }


def _attributes(answer: Any) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in answer["Attributes"]}


def _group(client: Client, outputs: StackOutputs, one: Resource) -> Values | None:
    answer = client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[one.at("name")])
    if not answer["AutoScalingGroups"]:
        return None
    found = answer["AutoScalingGroups"][0]
    return {
        "minSize": found["MinSize"],
        "maxSize": found["MaxSize"],
        "desiredCapacity": found["DesiredCapacity"],
        "healthCheckType": found["HealthCheckType"],
        "healthCheckGracePeriod": found["HealthCheckGracePeriod"],
    }


def _parameter(client: Client, outputs: StackOutputs, one: Resource) -> Values | None:
    found = client("ssm").get_parameter(Name=one.at("name"))["Parameter"]
    return {"value": found["Value"], "type": found["Type"]}


def _database(client: Client, outputs: StackOutputs, one: Resource) -> Values | None:
    answer = client("rds").describe_db_instances(DBInstanceIdentifier=one.at("identifier"))
    found = answer["DBInstances"][0]
    return {
        "instanceClass": found["DBInstanceClass"],
        "engineVersion": found["EngineVersion"],
        "multiAz": found["MultiAZ"],
        "storageEncrypted": found["StorageEncrypted"],
        "deletionProtection": found["DeletionProtection"],
        "publiclyAccessible": found["PubliclyAccessible"],
        "backupRetentionPeriod": found["BackupRetentionPeriod"],
        "iamDatabaseAuthenticationEnabled": found["IAMDatabaseAuthenticationEnabled"],
        "parameterGroupName": found["DBParameterGroups"][0]["DBParameterGroupName"],
    }


def _cache(client: Client, outputs: StackOutputs, one: Resource) -> Values | None:
    name = one.at("replicationGroupId")
    answer = client("elasticache").describe_replication_groups(ReplicationGroupId=name)
    found = answer["ReplicationGroups"][0]
    return {
        "nodeType": found["CacheNodeType"],
        "snapshotRetentionLimit": found["SnapshotRetentionLimit"],
        "transitEncryptionEnabled": found["TransitEncryptionEnabled"],
        "atRestEncryptionEnabled": found["AtRestEncryptionEnabled"],
        "multiAzEnabled": found["MultiAZ"] == "enabled",
    }


def _table(client: Client, outputs: StackOutputs, one: Resource) -> Values | None:
    dynamodb, name = client("dynamodb"), one.at("name")
    found = dynamodb.describe_table(TableName=name)["Table"]
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    recovery = backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
    return {
        "deletionProtectionEnabled": found.get("DeletionProtectionEnabled", False),
        "pointInTimeRecovery.enabled": recovery == "ENABLED",
    }


def _bucket(client: Client, outputs: StackOutputs, one: Resource) -> Values | None:
    client("s3").head_bucket(Bucket=one.at("bucket"))
    return {}


def _versioning(client: Client, outputs: StackOutputs, one: Resource) -> Values | None:
    found = client("s3").get_bucket_versioning(Bucket=one.at("bucket"))
    return {"versioningConfiguration.status": found.get("Status", "Disabled")}


def _public_access(client: Client, outputs: StackOutputs, one: Resource) -> Values | None:
    found = client("s3").get_public_access_block(Bucket=one.at("bucket"))["PublicAccessBlockConfiguration"]
    return {key[0].lower() + key[1:]: value for key, value in found.items()}


def _lock(client: Client, outputs: StackOutputs, one: Resource) -> Values | None:
    answer = client("s3").get_object_lock_configuration(Bucket=one.at("bucket"))
    rule = answer["ObjectLockConfiguration"].get("Rule", {}).get("DefaultRetention", {})
    return {"rule.defaultRetention.mode": rule.get("Mode"), "rule.defaultRetention.days": rule.get("Days")}


def _key(client: Client, outputs: StackOutputs, one: Resource) -> Values | None:
    """A key, found by its alias: that it is there and usable."""
    kms, name = client("kms"), one.at("name")
    found = kms.describe_key(KeyId=name)["KeyMetadata"]
    return {} if found["KeyState"] == "Enabled" else None


PROBES: Final[Mapping[str, Probe]] = {
    LISTENER: _listener,
    TARGETS: _target_group,
    BALANCER: _load_balancer,
    GROUP: _group,
    PARAMETER: _parameter,
    DATABASE: _database,
    CACHE: _cache,
    TABLE: _table,
    BUCKET: _bucket,
    "aws:s3/bucketVersioning:BucketVersioning": _versioning,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _public_access,
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": _lock,
    KEY_ALIAS: _key,
}
