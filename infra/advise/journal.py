"""Changes in the release table: written before anything is done, so that another process can go on or undo.

Items have the partition key `advice#<environment>` and the sort key `change#<id>`. A writer holds the release
lease (nothing is scaled while a release runs, and the other way round) and names the revision it read.
"""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from infra.advise.change import Change
from infra.release.lease import Lease, LeaseLost


class ChangeJournal:
    """Reads and writes the changes of one environment; writing needs the `lease`."""

    def __init__(self, dynamodb: Any, table: str, environment: str) -> None:
        self._db = dynamodb
        self._table = table
        self._environment = environment
        self._revisions: dict[str, int] = {}

    def changes(self, limit: int = 20) -> list[Change]:
        """The newest first."""
        answer = self._db.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
            ExpressionAttributeValues={":pk": {"S": self._pk()}, ":prefix": {"S": "change#"}},
            ScanIndexForward=False,
            ConsistentRead=True,
            Limit=limit,
        )
        found = []
        for item in answer["Items"]:
            change = Change.from_dict(json.loads(item["change"]["S"]))
            self._revisions[change.change_id] = int(item["revision"]["N"])
            found.append(change)
        return found

    def unfinished(self) -> Change | None:
        """The change that somebody began and nobody ended; there is one at most."""
        newest = self.changes(1)
        return newest[0] if newest and not newest[0].ended else None

    def write(self, change: Change, lease: Lease) -> None:
        """Put the change. Raises `LeaseLost` when it, or the lease, is another process's by now."""
        seen = self._revisions.get(change.change_id, 0)
        item = {
            "pk": {"S": self._pk()},
            "sk": {"S": f"change#{change.change_id}"},
            "change": {"S": json.dumps(change.to_dict())},
            "revision": {"N": str(seen + 1)},
        }
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(sk)"}
        if seen:
            condition = {
                "ConditionExpression": "revision = :seen",
                "ExpressionAttributeValues": {":seen": {"N": str(seen)}},
            }
        try:
            self._db.transact_write_items(
                TransactItems=[
                    self._owned(lease),
                    {"Put": {"TableName": self._table, "Item": item, **condition}},
                ]
            )
        except ClientError as failed:
            if failed.response["Error"]["Code"] != "TransactionCanceledException":
                raise
            if not self._is_written(item):  # a retry after a lost answer meets its own write
                raise LeaseLost("another process went on with this change; this one stops") from failed
        self._revisions[change.change_id] = seen + 1

    def _is_written(self, item: dict[str, Any]) -> bool:
        key = {"pk": item["pk"], "sk": item["sk"]}
        answer = self._db.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return bool(answer.get("Item") == item)

    def _owned(self, lease: Lease) -> dict[str, Any]:
        return {
            "ConditionCheck": {
                "TableName": self._table,
                "Key": {"pk": {"S": f"release#{self._environment}"}, "sk": {"S": "lease"}},
                "ConditionExpression": "#token = :token",
                "ExpressionAttributeNames": {"#token": "token"},
                "ExpressionAttributeValues": {":token": {"N": str(lease.token)}},
            }
        }

    def _pk(self) -> str:
        return f"advice#{self._environment}"
