"""Who may drive the releases of an environment: a lease that expires, with a fencing token.

The lease is one DynamoDB item. Its token grows with every owner and never shrinks; the journal refuses
writes with an older one. Clocks of operators may differ: `SKEW` is added before a lease counts as expired.
"""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from infra.release.clock import Clock

SKEW: Final = 1.0
"""Seconds by which two operators' clocks may differ (both follow NTP)."""


class LeaseLost(Exception):
    """This process no longer owns the release; it must stop and touch nothing more."""


class LeaseHeld(Exception):
    """Somebody else owns it."""

    def __init__(self, holder: Holder, now: float) -> None:
        self.holder = holder
        self.seconds = max(0.0, holder.expires_at + SKEW - now)
        super().__init__(f"{holder.owner} holds the release lease for another {self.seconds:.0f} s at most")


@dataclass(frozen=True, slots=True)
class Holder:
    """The lease as it stands in the table."""

    owner: str
    token: int
    expires_at: float
    reason: str


def owner_name() -> str:
    """`user@host/pid-xxxx`: a person can find the process, and no two are alike."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}/{os.getpid()}-{uuid.uuid4().hex[:4]}"


class Lease:
    """Ownership by this process: take, keep, give back."""

    def __init__(
        self, dynamodb: Any, table: str, environment: str, clock: Clock, ttl: float, owner: str | None = None
    ) -> None:
        self._db = dynamodb
        self._table = table
        self._key = {"pk": {"S": f"release#{environment}"}, "sk": {"S": "lease"}}
        self.clock = clock
        self.ttl = ttl
        self.owner = owner or owner_name()
        self.token = 0
        self._renewed = 0.0

    def holder(self) -> Holder | None:
        """Who holds it, expired or not; `None` when nobody does."""
        item = self._read()
        if item is None or not item["owner"]["S"]:
            return None
        return Holder(
            owner=item["owner"]["S"],
            token=int(item["token"]["N"]),
            expires_at=float(item["expires_at"]["N"]),
            reason=item["reason"]["S"],
        )

    def take(self, reason: str) -> None:
        """Become the owner, or raise `LeaseHeld`. The token is larger than every one before."""
        item = self._read()
        now = self.clock.now()
        token = int(item["token"]["N"]) if item else 0
        if item and item["owner"]["S"] and float(item["expires_at"]["N"]) + SKEW > now:
            raise LeaseHeld(self._holder(), now)
        if not self._put(token, token + 1, reason):
            raise LeaseHeld(self._holder(), now)
        self.token = token + 1

    def keep(self) -> None:
        """Renew when a third of the time is gone; raises `LeaseLost` when somebody else took over.

        A process that was stopped for longer than the lease notices here, before it acts again.
        """
        if self.clock.now() - self._renewed < self.ttl / 3:
            return
        if not self._put(self.token, self.token, "kept"):
            raise LeaseLost(f"{self.owner} lost the release lease; another controller has taken over")

    def give_back(self) -> None:
        """Free it at once; nothing happens when it is no longer ours."""
        if self.token:
            self._put(self.token, self.token, "given back", owner="")
            self.token = 0

    def break_it(self, reason: str) -> Holder | None:
        """Take the lease from whoever has it (`unlock`); their next write is refused. The old holder."""
        item = self._read()
        if item is None or not item["owner"]["S"]:
            return None
        before = self._holder()
        token = int(item["token"]["N"])
        if not self._put(token, token + 1, reason, owner=""):
            raise LeaseHeld(self._holder(), self.clock.now())
        return before

    def _holder(self) -> Holder:
        return self.holder() or Holder("somebody", 0, self.clock.now(), "")

    def _read(self) -> dict[str, Any] | None:
        answer = self._db.get_item(TableName=self._table, Key=self._key, ConsistentRead=True)
        item: dict[str, Any] | None = answer.get("Item")
        return item

    def _put(self, seen: int, token: int, reason: str, owner: str | None = None) -> bool:
        now = self.clock.now()
        item = {
            **self._key,
            "owner": {"S": self.owner if owner is None else owner},
            "token": {"N": str(token)},
            "expires_at": {"N": f"{now + self.ttl:.3f}"},
            "reason": {"S": reason},
        }
        try:
            self._db.put_item(
                TableName=self._table,
                Item=item,
                ConditionExpression="attribute_not_exists(sk) OR #token = :seen",
                ExpressionAttributeNames={"#token": "token"},
                ExpressionAttributeValues={":seen": {"N": str(seen)}},
            )
        except ClientError as failed:
            if failed.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            # A retry after a lost answer meets its own write: then all is well.
            if self._read() != item:
                return False
        self._renewed = now
        return True
