"""The system behind the page: its parts, what runs on which colour, and where traffic goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from infra.errors import UserError
from infra.local import slots, traffic
from infra.local.layout import layout
from infra.local.state import load
from infra.local.status import status
from infra.stack import environment

KEPT_SECONDS: Final = 1.0


class Kept:
    """A slow answer, asked for once a second however many pages are open."""

    def __init__(self, ask: Callable[[], dict[str, Any]]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._answer: dict[str, Any] = {}
        self._until = 0.0

    def get(self) -> dict[str, Any]:
        """The answer, at most a second old."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._answer = self._ask()
                self._until = time.monotonic() + KEPT_SECONDS
            return self._answer


def parts() -> dict[str, Any]:
    """Every part as `superagent status` shows it, in short."""
    shown = ("part", "state", "version", "healthy", "problem", "seconds", "needed")
    found = [asdict(one) for one in status(layout())]
    return {"parts": [{key: one[key] for key in shown} for one in found]}


def traffic_now() -> dict[str, Any]:
    """Weights as the load balancer has them, target health, and versions by colour."""
    versions = load().versions
    try:
        stack = environment.load("local")
        weights = traffic.weights(stack)
        unhealthy = [
            trouble
            for colour, weight in weights.items()
            if weight > 0
            for trouble in traffic.unhealthy(stack, colour, slots.slots(colour))
        ]
    except (UserError, BotoCoreError, ClientError) as failed:
        return {"versions": versions, "weights": {}, "unhealthy": [], "problem": str(failed)}
    return {"versions": versions, "weights": weights, "unhealthy": unhealthy, "problem": ""}
