"""A token of Amazon Managed Grafana for one upload: minted, used, deleted, never written down."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

ACCOUNT: Final = "superagent-dashboards"
ROLE: Final = "ADMIN"
"""Data sources may be written by administrators only."""
SECONDS: Final = 900
"""Lifetime; an upload takes one minute, and a run that is killed leaves a token that soon is none."""


@contextmanager
def short_lived(client: Any, workspace_id: str) -> Iterator[str]:
    """A token of the workspace for the time of the block; `client` is boto3's `grafana`."""
    account = _service_account(client, workspace_id)
    where = {"workspaceId": workspace_id, "serviceAccountId": account}
    name = f"upload-{time.time_ns()}"
    minted = client.create_workspace_service_account_token(name=name, secondsToLive=SECONDS, **where)
    token = minted["serviceAccountToken"]
    try:
        yield token["key"]
    finally:
        client.delete_workspace_service_account_token(tokenId=token["id"], **where)


def _service_account(client: Any, workspace_id: str) -> str:
    """The id of our account in the workspace; made when it is not there."""
    pages = client.get_paginator("list_workspace_service_accounts").paginate(workspaceId=workspace_id)
    for page in pages:
        for account in page["serviceAccounts"]:
            if account["name"] == ACCOUNT:
                return str(account["id"])
    made = client.create_workspace_service_account(name=ACCOUNT, grafanaRole=ROLE, workspaceId=workspace_id)
    return str(made["id"])
