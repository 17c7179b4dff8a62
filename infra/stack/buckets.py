"""A bucket nobody else can read: closed to the public, TLS only, encrypted, versioned, owner-enforced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from infra.stack.component import Component
from infra.stack.iam import document

MINIMUM_TLS: Final = "1.2"


@dataclass(frozen=True, slots=True)
class Closed:
    """A bucket and the resources that later ones wait for."""

    bucket: aws.s3.Bucket
    versioning: aws.s3.BucketVersioning
    policy: aws.s3.BucketPolicy

    @property
    def name(self) -> pulumi.Output[str]:
        return self.bucket.bucket


def refusals(bucket_arn: pulumi.Output[str]) -> list[dict[str, Any]]:
    """Statements that refuse plain HTTP and old TLS to everybody."""
    everything = [bucket_arn, pulumi.Output.format("{0}/*", bucket_arn)]
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": everything}
    return [
        {"Sid": "TlsOnly", **deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {"Sid": "ModernTls", **deny, "Condition": {"NumericLessThan": {"s3:TlsVersion": MINIMUM_TLS}}},
    ]


def closed(
    parent: Component,
    name: str,
    *,
    key_arn: pulumi.Output[str] | None = None,
    object_lock: bool = False,
    region: str | None = None,
    statements: Sequence[Mapping[str, Any]] = (),
) -> Closed:
    """A bucket of `Settings.bucket_name`; without `key_arn` it uses S3's own key (SSE-S3)."""
    bucket = aws.s3.Bucket(
        name,
        bucket=parent.settings.bucket_name(name),
        object_lock_enabled=object_lock,
        force_destroy=False,
        region=region,
        opts=parent.guarded(),
    )
    public = aws.s3.BucketPublicAccessBlock(
        name,
        bucket=bucket.bucket,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        region=region,
        opts=parent.child(),
    )
    aws.s3.BucketOwnershipControls(
        name,
        bucket=bucket.bucket,
        rule={"object_ownership": "BucketOwnerEnforced"},
        region=region,
        opts=parent.child(),
    )
    versioning = aws.s3.BucketVersioning(
        name,
        bucket=bucket.bucket,
        versioning_configuration={"status": "Enabled"},
        region=region,
        opts=parent.child(),
    )
    by_default: dict[str, Any] = {"sse_algorithm": "AES256" if key_arn is None else "aws:kms"}
    if key_arn is not None:
        by_default["kms_master_key_id"] = key_arn
    aws.s3.BucketServerSideEncryptionConfiguration(
        name,
        bucket=bucket.bucket,
        rules=[
            aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                apply_server_side_encryption_by_default=aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                    **by_default
                ),
                bucket_key_enabled=key_arn is not None,
            )
        ],
        region=region,
        opts=parent.child(),
    )
    policy = aws.s3.BucketPolicy(
        name,
        bucket=bucket.bucket,
        policy=document(*refusals(bucket.arn), *statements),
        region=region,
        opts=parent.child(depends_on=[public]),
    )
    return Closed(bucket, versioning, policy)
