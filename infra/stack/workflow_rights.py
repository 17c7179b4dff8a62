"""What the workflows' roles may do beside releasing: read Pulumi's state, rehearse a restore, provision."""

from __future__ import annotations

from typing import Final

import pulumi

from infra.stack.account import Account
from infra.stack.backups import Backups
from infra.stack.iam import Allow, Text
from infra.stack.recovery_jobs import sign
from infra.stack.settings import Settings

STATE_KEY: Final = "alias/pulumi-secrets"
"""The key of secrets in the state (docs/operations/environments.md, "The first `pulumi up`")."""
LOCKS: Final = ".pulumi/locks/organization/superagent"
"""Where Pulumi's S3 backend keeps a stack's locks (pulumi/pulumi, pkg/backend/diy/lock.go)."""


def read_state(settings: Settings, account: Account) -> list[Allow]:
    """Read this stack's state alone, with its secrets: `pulumi preview` and `stack output` need them.

    Some versions of the CLI lock the stack even for `refresh --preview-only`: its locks may be written.
    """
    bucket = f"arn:aws:s3:::{settings.state_bucket}"
    return [
        Allow("ListState", ["s3:ListBucket", "s3:GetBucketLocation"], [bucket]),
        Allow(
            "ReadState",
            ["s3:GetObject"],
            [
                f"{bucket}/.pulumi/meta.yaml",
                f"{bucket}/.pulumi/stacks/superagent/{settings.environment}.json*",
                f"{bucket}/{LOCKS}/{settings.environment}/*",
            ],
        ),
        Allow(
            "LockStack",
            ["s3:PutObject", "s3:DeleteObject"],
            [f"{bucket}/{LOCKS}/{settings.environment}/*"],
        ),
        Allow("OpenState", ["kms:Decrypt"], [account.arn("kms", "key/*")], _only_state_key()),
    ]


def read_own(settings: Settings, account: Account) -> list[Allow]:
    """What `pulumi refresh` reads that no managed policy for looking has: values that the program declares.

    The cache's token is one of them. It stands in the state too, which the same role can open.
    """
    path = settings.names.path("").strip("/")
    data_key = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": f"alias/{settings.names.of('data')}"}}
    return [
        Allow(
            "ReadParameters",
            ["ssm:GetParameter", "ssm:GetParameters"],
            [account.arn("ssm", f"parameter/{path}/*")],
        ),
        Allow(
            "ReadCacheToken",
            ["secretsmanager:GetSecretValue"],
            [account.arn("secretsmanager", f"secret:{path}/cache-*")],
        ),
        Allow("OpenCacheToken", ["kms:Decrypt"], [account.arn("kms", "key/*")], data_key),
        # The program asks for one at every run, a preview's too.
        Allow("GeneratePassword", ["secretsmanager:GetRandomPassword"], ["*"]),
    ]


def drill(backups: Backups) -> list[Allow]:
    """Read backups as after a disaster, and leave the report beside them; nothing of the live system."""
    bucket = backups.bucket.arn
    key = backups.key
    use_key = [Allow("OpenBackups", ["kms:Decrypt", "kms:GenerateDataKey"], [key.arn])] if key else []
    return [
        *use_key,
        *sign(backups),
        Allow(
            "ListBackups",
            ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetEncryptionConfiguration"],
            [bucket],
        ),
        Allow("ReadBackups", ["s3:GetObject", "s3:GetObjectVersion"], [_below(bucket, "*")]),
        Allow("WriteReports", ["s3:PutObject"], [_below(bucket, "drills/*")]),
    ]


def deploy(settings: Settings, account: Account) -> list[Allow]:
    """What PowerUserAccess lacks: the state, and IAM below the names of this environment alone."""
    bucket = f"arn:aws:s3:::{settings.state_bucket}"
    mine = settings.names.of("*")
    return [
        Allow("ReadIam", ["iam:Get*", "iam:List*"], ["*"]),
        Allow(
            "ManageRoles",
            [
                *(f"iam:{verb}Role" for verb in ("Create", "Delete", "Update", "Pass", "Tag", "Untag")),
                *(f"iam:{verb}RolePolicy" for verb in ("Put", "Delete", "Attach", "Detach")),
                "iam:UpdateAssumeRolePolicy",
                "iam:UpdateRoleDescription",
            ],
            [_iam(account, f"role/{mine}")],
        ),
        Allow(
            "ManageProfiles",
            [
                *(f"iam:{verb}InstanceProfile" for verb in ("Create", "Delete", "Tag", "Untag")),
                "iam:AddRoleToInstanceProfile",
                "iam:RemoveRoleFromInstanceProfile",
            ],
            [_iam(account, f"instance-profile/{mine}")],
        ),
        Allow(
            "ManageIssuers",
            [
                *(f"iam:{verb}OpenIDConnectProvider" for verb in ("Create", "Delete", "Tag", "Untag")),
                "iam:AddClientIDToOpenIDConnectProvider",
                "iam:UpdateOpenIDConnectProviderThumbprint",
            ],
            [_iam(account, "oidc-provider/*")],
        ),
        Allow("WriteState", ["s3:PutObject", "s3:DeleteObject"], [f"{bucket}/.pulumi/*"]),
        Allow(
            "SealState",
            ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"],
            [account.arn("kms", "key/*")],
            _only_state_key(),
        ),
    ]


def _only_state_key() -> dict[str, dict[str, str]]:
    return {"ForAnyValue:StringEquals": {"kms:ResourceAliases": STATE_KEY}}


def _iam(account: Account, resource: str) -> Text:
    return pulumi.Output.format("arn:aws:iam::{0}:{1}", account.id, resource)


def _below(bucket: pulumi.Output[str], path: str) -> Text:
    return bucket.apply(lambda arn: f"{arn}/{path}")
