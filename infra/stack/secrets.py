"""Keys and secrets. No value is in the program: RDS makes its own, a person or AWS the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from infra.stack.account import Account
from infra.stack.component import Component
from infra.stack.iam import document
from infra.stack.settings import Settings

DELETION_WINDOW_DAYS = 30


PUBLISHERS: Final = (
    "cloudwatch.amazonaws.com",
    "events.rds.amazonaws.com",
    "elasticache.amazonaws.com",
    "aps.amazonaws.com",
)
"""Services of AWS that send to the alert topic."""
RULES_OF_EVENTS: Final = "events.amazonaws.com"
"""Sends to it as well, and names no account that a condition could ask for."""
Statement = Mapping[str, Any]


def key_policy(account: Account, *services: str, more: Sequence[Statement] = ()) -> pulumi.Output[str]:
    """IAM decides inside the account; the named services may use the key on the account's behalf."""
    statements: list[Statement] = [
        {
            "Sid": "AccountDecides",
            "Effect": "Allow",
            "Principal": {"AWS": pulumi.Output.format("arn:aws:iam::{0}:root", account.id)},
            "Action": "kms:*",
            "Resource": "*",
        }
    ]
    if services:
        statements.append(
            {
                "Sid": "ServicesUse",
                "Effect": "Allow",
                "Principal": {"Service": list(services)},
                "Action": [
                    "kms:Encrypt",
                    "kms:Decrypt",
                    "kms:ReEncrypt*",
                    "kms:GenerateDataKey*",
                    "kms:DescribeKey",
                ],
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:SourceAccount": account.id}},
            }
        )
    return document(*statements, *more)


def log_statements(account: Account) -> list[Statement]:
    """Log groups of this account, and messages that services of AWS send to the encrypted alert topic.

    Who publishes to an encrypted topic uses its key himself, or every message is dropped without a word (SNS
    guide, "compatibility between event sources from AWS services and encrypted topics"). Not every service
    names the account it acts for when it calls KMS, so that condition stands in the topic's policy alone.
    """
    use = {"Effect": "Allow", "Resource": "*"}
    return [
        {
            **use,
            "Sid": "LogGroups",
            "Principal": {"Service": f"logs.{account.region}.amazonaws.com"},
            "Action": [
                "kms:Encrypt*",
                "kms:Decrypt*",
                "kms:ReEncrypt*",
                "kms:GenerateDataKey*",
                "kms:Describe*",
            ],
            "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": account.arn("logs", "*")}},
        },
        {
            **use,
            "Sid": "AlertTopic",
            "Principal": {"Service": ["sns.amazonaws.com", *PUBLISHERS, RULES_OF_EVENTS]},
            "Action": ["kms:GenerateDataKey*", "kms:Decrypt"],
        },
    ]


def key(
    parent: Component,
    name: str,
    account: Account,
    *services: str,
    region: str | None = None,
    more: Sequence[Statement] = (),
) -> aws.kms.Key:
    """A customer key with yearly rotation and an alias."""
    made = aws.kms.Key(
        name,
        description=f"SuperAgent {parent.settings.environment} {name}",
        enable_key_rotation=True,
        deletion_window_in_days=DELETION_WINDOW_DAYS,
        policy=key_policy(account, *services, more=more),
        region=region,
        opts=parent.guarded(),
    )
    aws.kms.Alias(
        name,
        name=f"alias/{parent.settings.names.of(name)}",
        target_key_id=made.key_id,
        region=region,
        opts=parent.child(),
    )
    return made


def mac_key(parent: Component, name: str, account: Account) -> aws.kms.Key:
    """A key that signs and checks and never leaves KMS, with an alias. KMS rotates no keys of this kind."""
    made = aws.kms.Key(
        name,
        description=f"SuperAgent {parent.settings.environment} {name}",
        customer_master_key_spec="HMAC_256",
        key_usage="GENERATE_VERIFY_MAC",
        deletion_window_in_days=DELETION_WINDOW_DAYS,
        policy=key_policy(account),
        opts=parent.guarded(),
    )
    aws.kms.Alias(
        name,
        name=f"alias/{parent.settings.names.of(name)}",
        target_key_id=made.key_id,
        opts=parent.child(),
    )
    return made


class Secrets(Component):
    """The data key, the cache's token and the boxes for what a person puts in."""

    def __init__(self, settings: Settings, account: Account) -> None:
        super().__init__("secrets", settings)
        self.data_key = key(self, "data", account)
        self.log_key = key(self, "logs", account, more=log_statements(account))
        self.providers = self._secret(
            "providers", "API keys of the model providers, as JSON; put by a person"
        )
        self.cache_auth = self._secret("cache", "AUTH token of the cache")
        generated = aws.secretsmanager.get_random_password_output(
            password_length=48, exclude_punctuation=True, include_space=False
        ).random_password
        kept = aws.secretsmanager.SecretVersion(
            "cache",
            secret_id=self.cache_auth.id,
            secret_string_wo=pulumi.Output.secret(generated),
            secret_string_wo_version=1,
            # A new value is generated at every run; only the first one counts. Rotation: docs/operations.
            opts=self.child(ignore_changes=["secretStringWo"]),
        )
        # What is kept, not what was generated: a cache that is made in a later run than its secret (the first
        # one was stopped, or it is built anew) would have a token that nobody knows.
        self.cache_token: pulumi.Output[str] = pulumi.Output.secret(
            aws.secretsmanager.get_secret_version_output(secret_id=kept.arn).secret_string
        )
        self.given = {
            name: self._secret(name, f"{name} of the service; put by a person")
            for name in settings.service_secrets
        }
        self.register_outputs({})

    def _secret(self, name: str, description: str) -> aws.secretsmanager.Secret:
        return aws.secretsmanager.Secret(
            name,
            name=self.settings.names.path(name).removeprefix("/"),
            description=description,
            kms_key_id=self.data_key.arn,
            recovery_window_in_days=DELETION_WINDOW_DAYS if self.settings.protection else 7,
            opts=self.guarded(),
        )
