"""Where backups lie: a bucket that cannot be emptied before its time."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from infra.stack.component import Component
from infra.stack.settings import Settings


def tls_only(bucket_arn: pulumi.Output[str]) -> pulumi.Output[str]:
    """A bucket policy that refuses plain HTTP and TLS below 1.2."""
    return pulumi.Output.json_dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "TlsOnly",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [bucket_arn, pulumi.Output.format("{0}/*", bucket_arn)],
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                },
                {
                    "Sid": "Tls12",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [bucket_arn, pulumi.Output.format("{0}/*", bucket_arn)],
                    "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
                },
            ],
        }
    )


class Backups(Component):
    """The backup bucket and everything that keeps its objects safe."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("backups", settings)
        self.bucket = aws.s3.Bucket(
            "backups",
            bucket=settings.names.of("backups"),
            object_lock_enabled=True,
            force_destroy=False,
            opts=self.guarded(),
        )
        name = self.bucket.bucket
        public = aws.s3.BucketPublicAccessBlock(
            "backups",
            bucket=name,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self.child(),
        )
        self.versioning = aws.s3.BucketVersioning(
            "backups",
            bucket=name,
            versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=self.child(),
        )
        aws.s3.BucketObjectLockConfiguration(
            "backups",
            bucket=name,
            rule=aws.s3.BucketObjectLockConfigurationRuleArgs(
                default_retention=aws.s3.BucketObjectLockConfigurationRuleDefaultRetentionArgs(
                    # Governance lets a named role shorten a lock in an accident; nobody else can.
                    mode="GOVERNANCE",
                    days=settings.backup_lock_days,
                )
            ),
            opts=self.child(depends_on=[self.versioning]),
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            "backups",
            bucket=name,
            rules=[
                aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                        sse_algorithm="AES256" if settings.local else "aws:kms"
                    ),
                    bucket_key_enabled=not settings.local,
                )
            ],
            opts=self.child(),
        )
        aws.s3.BucketPolicy(
            "backups", bucket=name, policy=tls_only(self.bucket.arn), opts=self.child(depends_on=[public])
        )
        self.register_outputs({"bucket": name})
