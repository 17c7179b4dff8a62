"""One backup of a kind at a time: a leased, fenced record in DynamoDB.

Nobody compares wall clocks of two machines: a holder beats a counter, and a stranger takes over only after it
has watched the counter stand still for the whole lease by its own monotonic clock.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from infra.errors import OperationFailed, UserError

BEAT_SECONDS: Final = 5.0
LEASE_SECONDS: Final = 30.0


class Busy(UserError):
    """Another live process has the lease."""


class Lease:
    """A held lease. `assert_held` before anything that must not happen twice."""

    def __init__(self, table: Any, name: str, owner: str, beat_seconds: float) -> None:
        self._table = table
        self._key = {"pk": "recovery", "sk": f"lease#{name}"}
        self.owner = owner
        self._beat_seconds = beat_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{name}", daemon=True)

    def assert_held(self) -> None:
        """`OperationFailed` when somebody took over while this process slept."""
        if not self._touch():
            raise OperationFailed("Another process took over the lease; this run stops without a result.")

    def _touch(self) -> bool:
        try:
            self._table.update_item(
                Key=self._key,
                UpdateExpression="add beat :one",
                ConditionExpression="#owner = :me",
                ExpressionAttributeNames={"#owner": "owner"},
                ExpressionAttributeValues={":one": 1, ":me": self.owner},
            )
        except ClientError as failed:
            if failed.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise OperationFailed(
                f"The lease cannot be renewed: {failed.response['Error']['Code']}."
            ) from None
        return True

    def _beat(self) -> None:
        while not self._stop.wait(self._beat_seconds):
            try:
                if not self._touch():
                    return
            except (OperationFailed, BotoCoreError):
                continue  # a missed beat is what the lease time allows for

    def _release(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            self._table.delete_item(
                Key=self._key,
                ConditionExpression="#owner = :me",
                ExpressionAttributeNames={"#owner": "owner"},
                ExpressionAttributeValues={":me": self.owner},
            )
        except (ClientError, BotoCoreError):
            return  # it runs out by itself


@contextmanager
def hold(
    table: Any, name: str, lease_seconds: float = LEASE_SECONDS, beat_seconds: float = BEAT_SECONDS
) -> Iterator[Lease]:
    """Hold the lease `name`; `Busy` when another live process has it.

    `table` is a boto3 DynamoDB table resource with keys `pk` and `sk`.
    """
    owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    lease = Lease(table, name, owner, beat_seconds)
    if not _create(table, lease, None):
        _take_over(table, lease, name, lease_seconds)
    lease._thread.start()
    try:
        yield lease
    finally:
        lease._release()


def _create(table: Any, lease: Lease, dead: dict[str, Any] | None) -> bool:
    condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
    if dead is not None:
        condition = {
            "ConditionExpression": "#owner = :dead and beat = :beat",
            "ExpressionAttributeNames": {"#owner": "owner"},
            "ExpressionAttributeValues": {":dead": dead["owner"], ":beat": dead["beat"]},
        }
    try:
        table.put_item(Item={**lease._key, "owner": lease.owner, "beat": 1}, **condition)
    except ClientError as failed:
        code = failed.response["Error"]["Code"]
        if code != "ConditionalCheckFailedException":
            raise OperationFailed(f"The lease cannot be taken: {code}.") from None
        return False
    return True


def _take_over(table: Any, lease: Lease, name: str, lease_seconds: float) -> None:
    seen = table.get_item(Key=lease._key, ConsistentRead=True).get("Item")
    deadline = time.monotonic() + lease_seconds
    while seen is not None and time.monotonic() < deadline:
        time.sleep(min(1.0, lease_seconds / 10))
        now = table.get_item(Key=lease._key, ConsistentRead=True).get("Item")
        if now is not None and (now["owner"], now["beat"]) != (seen["owner"], seen["beat"]):
            raise Busy(
                f"A {name} run by {now['owner']} is under way.",
                "Wait for it; `superagent backup list` shows it.",
            )
        seen = now
    if not _create(table, lease, seen):
        raise Busy(f"Another {name} run has just begun.", "Wait for it.")
