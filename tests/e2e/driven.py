"""Which alerts a test brings about on the running system, and why the others cannot be brought about here."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

DRIVEN: set[str] = set()
"""Filled by `drives` as the module of the tests is read."""

REASONS = {
    "SuperAgentCpuHigh": "takes every core of the machine for minutes, from the tests beside it too",
    "SuperAgentMemoryHigh": "measures the machine: filling 85 % of it ends other tests",
    "SuperAgentDiskSpaceLow": "measures the machine's disk: filling 90 % of it stops whatever else is there",
    "SuperAgentReplicationLagHigh": "the metric came with postgres_exporter 0.12; Debian 12 has 0.11",
    "SuperAgentReleaseStuck": "its expression looks back two hours",
}
"""For these, the cases of alerts/tests are all there is."""


def drives(*alerts: str, seconds: float = 120, **labels: str) -> Callable[[Callable[..., None]], Any]:
    """The test breaks something; afterwards these alerts arrive (with `labels`), which fired not before."""
    names = {f"SuperAgent{alert}" for alert in alerts}
    DRIVEN.update(names)

    def wrap(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def broken_and_seen(broken: Any, **more: Any) -> None:
            early = names & broken.firing(**labels)
            assert not early, f"{early} fired before anything was broken"
            test(broken, **more)
            broken.arrive(names, seconds, **labels)

        return broken_and_seen

    return wrap
