"""What the effects ask beside load balancer and fleet."""

from __future__ import annotations

from typing import Protocol

from infra.release.state import Run
from infra.release.verdict import Judgement


class Smoke(Protocol):
    """Requests through the test listener."""

    def ready(self) -> bool:
        """Whether the test listener answers at all with the idle colour."""
        ...

    def check(self, version: str) -> str | None:
        """Run every scenario; the first thing that is wrong, or `None`."""
        ...

    def probe(self) -> int:
        """Cheap requests, so that a colour without traffic has something to be judged by; their number."""
        ...


class Analysis(Protocol):
    """Compares the colours' metrics."""

    def judge(self, run: Run) -> Judgement: ...


class MigrationCheck(Protocol):
    """Whether migrations may run, and which did."""

    def problem(self, run: Run) -> str | None:
        """Why this release's migrations must not run now, or `None`."""
        ...

    def record(self) -> None:
        """Remember that they ran."""
        ...
