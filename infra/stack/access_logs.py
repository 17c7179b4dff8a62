"""Where the load balancer writes its access logs."""

from __future__ import annotations

from typing import Final

import pulumi
import pulumi_aws as aws

from infra.stack.account import Account
from infra.stack.buckets import closed
from infra.stack.component import Component
from infra.stack.settings import Settings

WRITER: Final = "logdelivery.elasticloadbalancing.amazonaws.com"


class AccessLogs(Component):
    """A bucket that ELB may write to; SSE-S3, because ELB supports no other key there (ELB guide)."""

    def __init__(self, settings: Settings, account: Account) -> None:
        super().__init__("access-logs", settings)
        name = settings.bucket_name("access-logs")
        write = {
            "Sid": "LoadBalancerWrites",
            "Effect": "Allow",
            "Principal": {"Service": WRITER},
            "Action": "s3:PutObject",
            "Resource": pulumi.Output.format("arn:aws:s3:::{0}/AWSLogs/{1}/*", name, account.id),
        }
        self.bucket = closed(self, "access-logs", statements=[write])
        aws.s3.BucketLifecycleConfiguration(
            "access-logs",
            bucket=self.bucket.name,
            rules=[
                {
                    "id": "expire",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "expiration": {"days": settings.log_retention_days},
                    "noncurrent_version_expiration": {"noncurrent_days": 7},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": 1},
                }
            ],
            opts=self.child(depends_on=[self.bucket.versioning]),
        )
        self.register_outputs({})
