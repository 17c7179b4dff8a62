"""Rules for data: encryption, protection, backups, no public way in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from infra.policy.model import Complaint, Estate, Resource

BUCKET: Final = "aws:s3/bucket:Bucket"
DATABASE: Final = "aws:rds/instance:Instance"
CACHE: Final = "aws:elasticache/replicationGroup:ReplicationGroup"
TABLE: Final = "aws:dynamodb/table:Table"
BALANCER: Final = "aws:lb/loadBalancer:LoadBalancer"
CLUSTER: Final = "aws:eks/cluster:Cluster"
LAUNCH_TEMPLATE: Final = "aws:ec2/launchTemplate:LaunchTemplate"

STATEFUL: Final = frozenset(
    {
        BUCKET,
        DATABASE,
        CACHE,
        TABLE,
        BALANCER,
        CLUSTER,
        "aws:ec2/vpc:Vpc",
        "aws:kms/key:Key",
        "aws:secretsmanager/secret:Secret",
        "aws:ecr/repository:Repository",
        "aws:backup/vault:Vault",
        "aws:amp/workspace:Workspace",
    }
)
"""Losing one of these loses data, or the address that clients know."""

# type -> (input that must be there, why). `True` means the value itself must be true.
ENCRYPTED: Final[dict[str, tuple[str, bool]]] = {
    DATABASE: ("storageEncrypted", True),
    CACHE: ("atRestEncryptionEnabled", True),
    TABLE: ("serverSideEncryption.enabled", True),
    "aws:sns/topic:Topic": ("kmsMasterKeyId", False),
    "aws:cloudwatch/logGroup:LogGroup": ("kmsKeyId", False),
    "aws:secretsmanager/secret:Secret": ("kmsKeyId", False),
    "aws:backup/vault:Vault": ("kmsKeyArn", False),
    "aws:amp/workspace:Workspace": ("kmsKeyArn", False),
    CLUSTER: ("encryptionConfig.provider.keyArn", False),
}
# Companions that every bucket has: type -> what it gives.
COMPANIONS: Final = {
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": "encryption",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": "a public access block",
    "aws:s3/bucketVersioning:BucketVersioning": "versioning",
    "aws:s3/bucketPolicy:BucketPolicy": "a TLS-only policy",
}


def encryption(estate: Estate) -> Iterator[Complaint]:
    for one in estate.of(*ENCRYPTED):
        path, must_be_true = ENCRYPTED[one.type]
        value = one.at(path)
        if not value or (must_be_true and value is not True):
            yield one, f"is not encrypted: set {path}"
    for one in estate.of("aws:ecr/repository:Repository"):
        kinds = [item.get("encryptionType") for item in one.at("encryptionConfigurations", [])]
        if kinds != ["KMS"]:
            yield one, "is not encrypted with a customer key: set encryptionConfigurations to KMS"
    for one in estate.of(LAUNCH_TEMPLATE):
        for mapping in one.at("blockDeviceMappings", []):
            if str(mapping.get("ebs", {}).get("encrypted")).lower() != "true":
                yield one, f"has an unencrypted disk {mapping.get('deviceName')}: set ebs.encrypted"


def buckets(estate: Estate) -> Iterator[Complaint]:
    for bucket in estate.of(BUCKET):
        name = bucket.at("bucket", bucket.name)
        for kind, gives in COMPANIONS.items():
            found = [one for one in estate.of(kind) if one.at("bucket") == name]
            if not found:
                yield bucket, f"has no {gives}: add a {kind.split(':')[-1]}"
            for one in found:
                yield from _companion(one)


def _companion(one: Resource) -> Iterator[Complaint]:
    if one.type.endswith(":BucketPublicAccessBlock"):
        keys = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        for key in keys:
            if one.at(key) is not True:
                yield one, f"leaves a door open: set {key}"
    if one.type.endswith(":BucketVersioning") and one.at("versioningConfiguration.status") != "Enabled":
        yield one, "does not keep versions: set status to Enabled"
    if one.type.endswith(":BucketPolicy") and not refuses_plain_http(one.at("policy", "")):
        yield one, "does not refuse plain HTTP: deny when aws:SecureTransport is false"


def refuses_plain_http(policy: Any) -> bool:
    """Whether a policy denies everybody everything without TLS."""
    try:
        statements = json.loads(policy)["Statement"] if isinstance(policy, str) else policy["Statement"]
    except (ValueError, KeyError, TypeError):
        return False
    return any(
        one.get("Effect") == "Deny"
        and one.get("Principal") in ("*", {"AWS": "*"})
        and one.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport") in ("false", False)
        for one in statements
    )


def private(estate: Estate) -> Iterator[Complaint]:
    for one in estate.of(DATABASE):
        if one.at("publiclyAccessible") is not False:
            yield one, "may be reached from the internet: set publiclyAccessible to false"
    for one in estate.of(CLUSTER):
        if "0.0.0.0/0" in (one.at("vpcConfig.publicAccessCidrs") or []):
            yield one, "has an API for the whole internet: name networks in publicAccessCidrs"
        if one.at("vpcConfig.endpointPrivateAccess") is not True:
            yield one, "has no private API: set endpointPrivateAccess"
    for one in estate.of("aws:ec2/subnet:Subnet"):
        if one.at("mapPublicIpOnLaunch"):
            yield one, "gives public addresses away: set mapPublicIpOnLaunch to false"
    for one in estate.of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"):
        if one.at("cidrIpv4") == "0.0.0.0/0" and one.at("fromPort") not in (80, 443):
            yield one, "opens a port to the whole internet: only 80 and 443 may be"
        if one.at("cidrIpv4") == "0.0.0.0/0" and one.at("fromPort") != one.at("toPort"):
            yield one, "opens a range of ports to the whole internet: name one"


def protection(estate: Estate) -> Iterator[Complaint]:
    if not estate.protected:
        return
    switches = {
        DATABASE: "deletionProtection",
        BALANCER: "enableDeletionProtection",
        TABLE: "deletionProtectionEnabled",
        CLUSTER: "deletionProtection",
    }
    for one in estate.resources:
        replica = bool(one.at("replicateSourceDb"))
        # An in-region replica is a copy of what is protected; it is made again in minutes.
        if one.type in STATEFUL and not one.protect and not replica:
            yield one, "may be destroyed by a wrong change: set protect"
        switch = switches.get(one.type)
        if switch and not replica and one.at(switch) is not True:
            yield one, f"may be deleted by anybody: set {switch}"
    for one in estate.of(BUCKET):
        if one.at("forceDestroy"):
            yield one, "would be emptied and deleted: set forceDestroy to false"


def backups(estate: Estate) -> Iterator[Complaint]:
    if not estate.protected:
        return
    for one in estate.of(DATABASE):
        if one.at("replicateSourceDb"):
            continue
        if one.at("backupRetentionPeriod", 0) < 7:
            yield one, "keeps fewer than 7 days of backups: raise backupRetentionPeriod"
        if one.at("skipFinalSnapshot") is not False:
            yield one, "would be deleted without a last snapshot: set skipFinalSnapshot to false"
        if one.at("multiAz") is not True:
            yield one, "dies with its AZ: set multiAz"
    for one in estate.of(CACHE):
        if one.at("snapshotRetentionLimit", 0) < 7:
            yield one, "keeps fewer than 7 days of snapshots: raise snapshotRetentionLimit"
    for one in estate.of(TABLE):
        if one.at("pointInTimeRecovery.enabled") is not True:
            yield one, "has no point-in-time recovery: set pointInTimeRecovery.enabled"
    if not list(estate.of("aws:backup/plan:Plan")):
        yield from ((one, "has no AWS Backup plan: add one") for one in estate.of(DATABASE))
