"""Requests of the tool's own, for a colour that clients alone give too little to be judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from infra.release.state import Run


@dataclass(slots=True)
class Probes:
    """`send` returns how many requests it made; `every` is in seconds, 0 for none.

    They end at `enough` requests of clients in a step: probes are alike and quick, and beside real traffic
    they would only hide how that goes.
    """

    send: Callable[[], int]
    every: float
    enough: int
    _sent_at: float = 0.0
    _mark: str = ""
    _sent: int = 0

    def look(self, run: Run, requests: float, now: float) -> None:
        """Send what is due; `requests` is what the new colour answered in this step, probes among it."""
        if run.mark != self._mark:
            self._mark, self._sent = run.mark, 0
        if self.every and now - self._sent_at >= self.every and requests - self._sent < self.enough:
            self._sent_at = now
            self._sent += self.send()
