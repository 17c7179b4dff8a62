"""Recorded calls to AWS as the IAM actions that they need, and what a role of the estate may do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from botocore.client import BaseClient

from tests.infra.estates import estate

PARTS: Final = {
    "Put": "PutItem",
    "Delete": "DeleteItem",
    "Update": "UpdateItem",
    "ConditionCheck": "ConditionCheckItem",
}
"""Of a transaction: IAM asks for each of them, and for nothing that is named after the transaction."""
OTHERWISE: Final = {
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:DeleteObjects": "s3:DeleteObject",
}
"""Calls of S3 whose right has another name (service authorization reference, Amazon S3)."""
VERSIONED: Final = {"s3:GetObject", "s3:DeleteObject"}


def actions_of(service: str, operation: str, given: dict[str, Any]) -> set[str]:
    """The IAM actions that one call needs."""
    if operation == "TransactWriteItems":
        return {f"{service}:{PARTS[kind]}" for part in given["TransactItems"] for kind in part}
    action = f"{service}:{operation}"
    action = OTHERWISE.get(action, action)
    listed = given.get("Delete", {}).get("Objects", [])
    if action in VERSIONED and ("VersionId" in given or any("VersionId" in one for one in listed)):
        return {f"{action}Version"}
    return {action}


@contextmanager
def recorded() -> Iterator[set[str]]:
    """What every client of this process needs meanwhile."""
    actions: set[str] = set()
    honest = BaseClient._make_api_call  # type: ignore[attr-defined]

    def see(client: BaseClient, operation: str, given: dict[str, Any]) -> Any:
        actions.update(actions_of(client.meta.service_model.signing_name, operation, given))
        return honest(client, operation, given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", see)
        yield actions


def of_role(compute: str, name: str) -> set[str]:
    """The actions that the policy of a role of `prod` allows, whatever they are allowed to."""
    (policy,) = [
        json.loads(one.inputs["policy"])
        for one in estate("prod", compute).resources.values()
        if one.name == f"{name}-policy"
    ]
    return {
        action
        for statement in policy["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
