"""One machine of many does a scheduled job, once a turn: decided by a lease and a mark in DynamoDB.

Every machine's timer goes off. The first takes the lease and works; the others wait until the turn is marked
done, or until the worker's lease stands still because it died or its work failed: then the next one tries.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from infra.errors import OperationFailed, UserError
from infra.recovery import lease

WAIT_SECONDS: Final = 15.0


def take(
    table: Any,
    job: str,
    moment: datetime,
    work: Callable[[], None],
    deadline_seconds: float,
    wait_seconds: float = WAIT_SECONDS,
    lease_seconds: float = lease.LEASE_SECONDS,
) -> bool:
    """Do `work` unless another machine does it; whether it was done here.

    Whatever `work` raises is raised: the turn stays open, and a machine that waits takes it.
    """
    give_up = time.monotonic() + deadline_seconds
    while not is_done(table, job, moment):
        try:
            with lease.hold(table, f"job {job}", lease_seconds) as held:
                if is_done(table, job, moment):
                    return False
                work()
                held.assert_held()
                _mark(table, job, moment)
                return True
        except lease.Busy:
            if time.monotonic() > give_up:
                raise OperationFailed(
                    f"Another machine's {job} is not done after {deadline_seconds:.0f} s."
                ) from None
            time.sleep(wait_seconds)
    return False


def is_done(table: Any, job: str, moment: datetime) -> bool:
    """Whether this turn, or a later one, was done."""
    try:
        item = table.get_item(Key=_key(job), ConsistentRead=True).get("Item")
    except ClientError as failed:
        raise UserError(
            f"The release table cannot be read: {failed.response['Error']['Code']}.",
            "Allow this identity dynamodb:GetItem on it.",
        ) from None
    return item is not None and str(item["turn"]) >= moment.isoformat()


def _mark(table: Any, job: str, moment: datetime) -> None:
    table.put_item(Item={**_key(job), "turn": moment.isoformat()})


def _key(job: str) -> dict[str, str]:
    # The prefix keeps it out of configuration backups, as leases are: an old mark would skip a turn.
    return {"pk": "recovery", "sk": f"lease-turn#{job}"}
