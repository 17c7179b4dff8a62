"""Makers of buckets and their settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from botocore.exceptions import ClientError

from infra.local.emulated_clients import Aws, Made, Maker, missing, pairs
from infra.stack.offline import Registration

ENCRYPTION: Final = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"


def bucket(aws: Aws, want: Registration) -> Made:
    s3, name = aws["s3"], want.inputs["bucket"]
    try:
        s3.head_bucket(Bucket=name)
    except ClientError as error:
        if not missing(error):
            raise
        s3.create_bucket(
            Bucket=name,
            ObjectLockEnabledForBucket=bool(want.inputs.get("objectLockEnabled")),
            CreateBucketConfiguration={"LocationConstraint": aws.region},
        )
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": pairs(want.inputs["tags"])})
    return name, {"arn": f"arn:aws:s3:::{name}", "bucket": name}


def setting(put: Callable[[Any, str, dict[str, Any]], object]) -> Maker:
    """Maker of a bucket's sub-resource; putting the same again changes nothing."""

    def make(aws: Aws, want: Registration) -> Made:
        name = want.inputs["bucket"]
        put(aws["s3"], name, want.inputs)
        return name, {}

    return make


def versioning(s3: Any, name: str, inputs: dict[str, Any]) -> None:
    s3.put_bucket_versioning(
        Bucket=name, VersioningConfiguration={"Status": inputs["versioningConfiguration"]["status"]}
    )


def locked(s3: Any, name: str, inputs: dict[str, Any]) -> None:
    retention = inputs["rule"]["defaultRetention"]
    s3.put_object_lock_configuration(
        Bucket=name,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": retention["mode"], "Days": int(retention["days"])}},
        },
    )


def encryption(s3: Any, name: str, inputs: dict[str, Any]) -> None:
    rules = []
    for rule in inputs["rules"]:
        default = rule["applyServerSideEncryptionByDefault"]
        by_default = {"SSEAlgorithm": default["sseAlgorithm"]}
        if default.get("kmsMasterKeyId"):
            by_default["KMSMasterKeyID"] = default["kmsMasterKeyId"]
        rules.append(
            {
                "ApplyServerSideEncryptionByDefault": by_default,
                "BucketKeyEnabled": rule.get("bucketKeyEnabled", False),
            }
        )
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})


def public_access(s3: Any, name: str, inputs: dict[str, Any]) -> None:
    s3.put_public_access_block(
        Bucket=name,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": inputs["blockPublicAcls"],
            "IgnorePublicAcls": inputs["ignorePublicAcls"],
            "BlockPublicPolicy": inputs["blockPublicPolicy"],
            "RestrictPublicBuckets": inputs["restrictPublicBuckets"],
        },
    )


def policy(s3: Any, name: str, inputs: dict[str, Any]) -> None:
    policy = inputs["policy"]
    document = json.loads(policy) if isinstance(policy, str) else policy
    # moto judges a statement without its condition: "deny plain HTTP" would deny everything.
    kept = [one for one in document["Statement"] if not (one["Effect"] == "Deny" and "Condition" in one)]
    if kept:
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps({**document, "Statement": kept}))


def ownership(s3: Any, name: str, inputs: dict[str, Any]) -> None:
    rules = [{"ObjectOwnership": inputs["rule"]["objectOwnership"]}]
    s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls={"Rules": rules})


def lifecycle(s3: Any, name: str, inputs: dict[str, Any]) -> None:
    rules = [
        {
            "ID": rule["id"],
            "Status": rule["status"],
            "Filter": {"Prefix": rule["filter"]["prefix"]},
            **({"Expiration": {"Days": rule["expiration"]["days"]}} if rule.get("expiration") else {}),
            "NoncurrentVersionExpiration": {
                "NoncurrentDays": rule["noncurrentVersionExpiration"]["noncurrentDays"]
            },
            "AbortIncompleteMultipartUpload": {
                "DaysAfterInitiation": rule["abortIncompleteMultipartUpload"]["daysAfterInitiation"]
            },
        }
        for rule in inputs["rules"]
    ]
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
