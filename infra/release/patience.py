"""Waits out an AWS API that is away, beyond what its client retries: every call here may be repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

from infra.release.clock import Clock

LIMIT: Final = 120.0
"""Seconds; after that the release is left as it is, to be resumed."""
LONGEST_PAUSE: Final = 5.0
THROTTLED: Final = frozenset(
    {"Throttling", "ThrottlingException", "RequestLimitExceeded", "ProvisionedThroughputExceededException",
     "TooManyRequestsException", "RequestThrottled", "SlowDown", "ServiceUnavailable", "InternalFailure",
     "TransactionConflictException", "TransactionInProgressException"}
)  # fmt: skip
CANCELLED: Final = "TransactionCanceledException"
MET: Final = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
"""Reasons of DynamoDB for it that say nothing about the items."""

Found = TypeVar("Found")


def passing(failed: Exception) -> bool:
    """Whether trying again may help: no connection, throttled, or the service's own fault."""
    if isinstance(failed, (ConnectionError, HTTPClientError)):
        return True
    if not isinstance(failed, ClientError):
        return False
    status = failed.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = failed.response.get("Error", {}).get("Code")
    return status >= 500 or code in THROTTLED or (code == CANCELLED and _undecided(failed))


def _undecided(failed: ClientError) -> bool:
    """Whether a transaction only met another one or a limit: no condition of it was found wrong."""
    answer: Mapping[str, Any] = failed.response
    reasons = {reason.get("Code", "None") for reason in answer.get("CancellationReasons", [])} - {"None"}
    return bool(reasons) and reasons <= MET


def patiently(work: Callable[[], Found], clock: Clock, limit: float = LIMIT) -> Found:
    """Do `work`, again and again while it fails in passing; the last error after `limit` seconds."""
    began, pause = clock.now(), 0.25
    while True:
        try:
            return work()
        except (ClientError, ConnectionError, HTTPClientError) as failed:
            if not passing(failed) or clock.now() - began + pause > limit:
                raise
        clock.sleep(pause)
        pause = min(LONGEST_PAUSE, pause * 2)
