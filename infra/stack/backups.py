"""Where backups lie: a bucket that cannot be emptied before its time, copied to a second region."""

from __future__ import annotations

from typing import Final

import pulumi
import pulumi_aws as aws

from infra.stack.account import Account
from infra.stack.buckets import Closed, closed
from infra.stack.component import Component
from infra.stack.iam import Allow, role, trust_service
from infra.stack.outputs import LOCAL_DRILL_KEY
from infra.stack.secrets import key, mac_key
from infra.stack.settings import Settings

NONCURRENT_DAYS: Final = 7
"""How long an older version of an object outlives the newer one."""
REPLICA_DAYS: Final = 30
"""How much longer than in the primary bucket objects live in the replica."""
REPLICATION_MINUTES: Final = 15
"""S3 Replication Time Control promises this, and its metrics say when it fails."""


class Backups(Component):
    """The backup bucket, its lock, its lifecycle and its copy."""

    def __init__(self, settings: Settings, account: Account) -> None:
        super().__init__("backups", settings)
        # The local system has no use for a customer key; its emulator would keep it beside the data.
        self.key = None if settings.local else key(self, "backup", account, "backup.amazonaws.com")
        self.drill_key = None if settings.local else mac_key(self, "drill-reports", account)
        self.signed_by = (
            pulumi.Output.format("kms:{0}", self.drill_key.arn) if self.drill_key else LOCAL_DRILL_KEY
        )
        self.primary = closed(self, "backups", key_arn=self.key.arn if self.key else None, object_lock=True)
        self.bucket = self.primary.bucket
        self._keep(self.primary, "backups", None, None)
        if settings.disaster_recovery and self.key is not None:
            self._replicate(account, self.key)
        self.register_outputs({"bucket": self.primary.name})

    def _keep(self, one: Closed, name: str, region: str | None, days: int | None) -> None:
        """Lock what is young, remove older versions, and, with `days`, what is that old.

        In the primary bucket age alone removes nothing: `superagent backup prune` knows which backup is the
        newest verified one, a lifecycle rule does not (wal-g/wal-g#636).
        """
        aws.s3.BucketObjectLockConfiguration(
            name,
            bucket=one.name,
            # Governance lets a named role shorten a lock in an accident; nobody else can.
            rule={"default_retention": {"mode": "GOVERNANCE", "days": self.settings.backup_lock_days}},
            region=region,
            opts=self.child(depends_on=[one.versioning]),
        )
        aws.s3.BucketLifecycleConfiguration(
            name,
            bucket=one.name,
            rules=[
                {
                    "id": "expire",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "expiration": {"days": days} if days else None,
                    "noncurrent_version_expiration": {"noncurrent_days": NONCURRENT_DAYS},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": 1},
                }
            ],
            region=region,
            opts=self.child(depends_on=[one.versioning]),
        )

    def _replicate(self, account: Account, source_key: aws.kms.Key) -> None:
        region = self.settings.replica_region
        replica_key = key(self, "backup-replica", account, "backup.amazonaws.com", region=region)
        replica = closed(self, "backups-replica", key_arn=replica_key.arn, object_lock=True, region=region)
        # Prune does not work there and deletes are not replicated; the primary keeps the last good one.
        self._keep(replica, "backups-replica", region, self.settings.backup_keep_days + REPLICA_DAYS)
        source, target = self.primary.bucket.arn, replica.bucket.arn
        replicator = role(
            self,
            "backup-replication",
            trust_service("s3.amazonaws.com", account.id),
            [
                Allow("ReadSource", ["s3:GetReplicationConfiguration", "s3:ListBucket"], [source]),
                Allow(
                    "ReadVersions",
                    [
                        "s3:GetObjectVersionForReplication",
                        "s3:GetObjectVersionAcl",
                        "s3:GetObjectVersionTagging",
                        "s3:GetObjectRetention",
                        "s3:GetObjectLegalHold",
                    ],
                    [source.apply(lambda arn: f"{arn}/*")],
                ),
                Allow(
                    "WriteReplica",
                    ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"],
                    [target.apply(lambda arn: f"{arn}/*")],
                ),
                Allow("Decrypt", ["kms:Decrypt"], [source_key.arn]),
                Allow("Encrypt", ["kms:Encrypt", "kms:GenerateDataKey"], [replica_key.arn]),
            ],
        )
        aws.s3.BucketReplicationConfig(
            "backups",
            bucket=self.primary.name,
            role=replicator.arn,
            rules=[
                {
                    "id": "everything",
                    "status": "Enabled",
                    "priority": 1,
                    "filter": {"prefix": ""},
                    # A delete here must not delete there.
                    "delete_marker_replication": {"status": "Disabled"},
                    "source_selection_criteria": {"sse_kms_encrypted_objects": {"status": "Enabled"}},
                    "destination": {
                        "bucket": target,
                        "storage_class": "STANDARD_IA",
                        "encryption_configuration": {"replica_kms_key_id": replica_key.arn},
                        "replication_time": {"status": "Enabled", "time": {"minutes": REPLICATION_MINUTES}},
                        "metrics": {
                            "status": "Enabled",
                            "event_threshold": {"minutes": REPLICATION_MINUTES},
                        },
                    },
                }
            ],
            opts=self.child(depends_on=[self.primary.versioning, replica.versioning]),
        )
