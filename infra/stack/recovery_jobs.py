"""What a scheduled job of infra/stack/schedule.py gets on either compute: its environment and its rights."""

from __future__ import annotations

from typing import Final

import pulumi

from infra.stack.backups import Backups
from infra.stack.fetch import OWNER_URL
from infra.stack.iam import Allow
from infra.stack.releases import Releases
from infra.stack.schedule import Plan

FOLDER: Final = "/etc/superagent/recovery"
READ: Final = ("backups/*/manifest.json", "ledger/*", "drills/*")
OUTPUTS: Final = f"{FOLDER}/outputs.json"


def environment(plan: Plan, secrets: str, scratch: str) -> dict[str, str]:
    """Environment of a job."""
    return {
        "SUPERAGENT_OUTPUTS_FILE": OUTPUTS,
        "SUPERAGENT_DATABASE_OWNER_URL_FILE": f"{secrets}/{OWNER_URL}",
        "SUPERAGENT_REDIS_URL_FILE": f"{secrets}/redis_url",
        "SUPERAGENT_HOME": f"{scratch}/home",
        "HOME": scratch,
        "TMPDIR": scratch,
        **plan.environment(),
    }


def sign(backups: Backups) -> list[Allow]:
    """Sign reports of drills, and check them."""
    key = backups.drill_key
    return [Allow("SignReports", ["kms:GenerateMac", "kms:VerifyMac"], [key.arn])] if key else []


def reading(backups: Backups, releases: Releases) -> list[Allow]:
    """What the exporter needs: look at backups, reports and the newest release; change nothing."""
    bucket, key, reports = backups.bucket.arn, backups.key, backups.drill_key
    return [
        *([Allow("OpenBackups", ["kms:Decrypt"], [key.arn])] if key else []),
        *([Allow("CheckReports", ["kms:VerifyMac"], [reports.arn])] if reports else []),
        Allow("ListBackups", ["s3:ListBucket"], [bucket]),
        Allow(
            "ReadState",
            ["s3:GetObject"],
            # Manifests, ledgers and reports: not the archives, which hold everybody's data.
            [pulumi.Output.format("{0}/{1}", bucket, path) for path in READ],
        ),
        Allow("ReadReleases", ["dynamodb:GetItem"], [releases.table.arn]),
    ]


def rights(backups: Backups, releases: Releases) -> list[Allow]:
    """Write, read and prune backups, hold leases, look at what there is. Object Lock stands above it."""
    bucket = backups.bucket.arn
    objects = bucket.apply(lambda arn: f"{arn}/*")
    key = backups.key
    return [
        *([Allow("UseBackupKey", ["kms:GenerateDataKey", "kms:Decrypt"], [key.arn])] if key else []),
        *sign(backups),
        Allow(
            "ListBackups",
            ["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads",
             "s3:GetEncryptionConfiguration"],
            [bucket],
        ),
        Allow(
            "WriteBackups",
            ["s3:PutObject", "s3:GetObject", "s3:GetObjectVersion", "s3:AbortMultipartUpload",
             "s3:GetObjectRetention", "s3:GetObjectLegalHold"],
            [objects],
        ),
        # Without s3:BypassGovernanceRetention: what is locked stays.
        Allow("PruneBackups", ["s3:DeleteObject", "s3:DeleteObjectVersion"], [objects]),
        Allow(
            "HoldLeases",
            ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem",
             "dynamodb:Scan"],
            [releases.table.arn],
        ),
    ]  # fmt: skip
