"""The items of one environment in the release table: reading, and the parts of conditional writes."""

from __future__ import annotations

from typing import Any, Final

from botocore.exceptions import ClientError

NEW: Final = "attribute_not_exists(sk)"
"""Condition: there is no such item yet."""


class Partition:
    """The partition `release#<environment>` through a DynamoDB client; reads are consistent."""

    def __init__(self, dynamodb: Any, table: str, environment: str) -> None:
        self._db = dynamodb
        self._table = table
        self._pk = f"release#{environment}"

    def key(self, sk: str) -> dict[str, Any]:
        return {"pk": {"S": self._pk}, "sk": {"S": sk}}

    def get(self, sk: str) -> dict[str, Any] | None:
        """One item, or `None`."""
        answer = self._db.get_item(TableName=self._table, Key=self.key(sk), ConsistentRead=True)
        item: dict[str, Any] | None = answer.get("Item")
        return item

    def newest(self, prefix: str, limit: int) -> list[dict[str, Any]]:
        """Items whose sort key begins so, the last ones first."""
        answer = self._db.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
            ExpressionAttributeValues={":pk": {"S": self._pk}, ":prefix": {"S": prefix}},
            ScanIndexForward=False,
            ConsistentRead=True,
            Limit=limit,
        )
        items: list[dict[str, Any]] = answer["Items"]
        return items

    def replace(self, item: dict[str, Any]) -> None:
        """Write an item, whatever stands there."""
        self._db.put_item(TableName=self._table, Item=item)

    def remove(self, sk: str, condition: str, values: dict[str, Any]) -> None:
        """Delete an item if the condition holds; nothing happens when it does not."""
        try:
            self._db.delete_item(**self.where(sk, condition, values))
        except ClientError as failed:
            if failed.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise

    def update(self, sk: str, expression: str, **names_and_values: Any) -> dict[str, Any]:
        """Change an item, or make it; the whole of it afterwards."""
        answer = self._db.update_item(
            TableName=self._table,
            Key=self.key(sk),
            UpdateExpression=expression,
            ReturnValues="ALL_NEW",
            **names_and_values,
        )
        item: dict[str, Any] = answer["Attributes"]
        return item

    # parts of a transaction

    def transact(self, parts: list[dict[str, Any]]) -> None:
        """All parts or none."""
        self._db.transact_write_items(TransactItems=parts)

    def put(
        self,
        item: dict[str, Any],
        condition: str | None = None,
        values: dict[str, Any] | None = None,
        names: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Write this item if the condition holds."""
        put: dict[str, Any] = {"TableName": self._table, "Item": item}
        if condition:
            put["ConditionExpression"] = condition
        if values:
            put["ExpressionAttributeValues"] = values
        if names:
            put["ExpressionAttributeNames"] = names
        return {"Put": put}

    def where(self, sk: str, condition: str, values: dict[str, Any]) -> dict[str, Any]:
        """The item, if the condition holds."""
        return {
            "TableName": self._table,
            "Key": self.key(sk),
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
        }

    def owned(self, token: int) -> dict[str, Any]:
        """Only while the lease still has this token."""
        check = self.where("lease", "#token = :token", {":token": {"N": str(token)}})
        return {"ConditionCheck": {**check, "ExpressionAttributeNames": {"#token": "token"}}}
