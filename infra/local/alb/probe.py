"""Ask a failing target for the status of its health check: Envoy counts failures, not what they were."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from typing import Final

from infra.local.alb.model import Target, TargetGroup

ASK_AGAIN_SECONDS: Final = 2.0
LONGEST_SECONDS: Final = 1.0


class Probe:
    """Remembers each target's answer for a moment, so that a target is not asked with every report."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str, int], tuple[float, int | None]] = {}

    def status(self, group: TargetGroup, target: Target) -> int | None:
        """The status that the health check's path gives; `None` when nobody answers in time."""
        key = (group.arn, target.id, target.port)
        asked, status = self._known.get(key, (0.0, None))
        if key not in self._known or self._clock() > asked + ASK_AGAIN_SECONDS:
            status = _ask(group, target)
            self._known[key] = (self._clock(), status)
        return status


def _ask(group: TargetGroup, target: Target) -> int | None:
    port = group.health.port or target.port
    connection = http.client.HTTPConnection(
        target.id, port, timeout=min(group.health.timeout, LONGEST_SECONDS)
    )
    try:
        connection.request("GET", group.health.path, headers={"user-agent": "ELB-HealthChecker/2.0"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
