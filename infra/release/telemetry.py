"""`superagent_release_*`: made of the journal's newest run and of totals that lie beside it.

They outlive the machine that drove the release, often a CI runner: locally the tool leaves them in a text
file after each transition, in AWS the exporter reads them (infra/exporter). Names: docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from infra.release.partition import Partition
from infra.release.state import RETREAT, Phase, Run

ITEM = "totals"
LAST_SUCCESS = "last_success"


@dataclass(frozen=True, slots=True)
class Totals:
    """What happened in all releases of an environment."""

    transitions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Phase and outcome → how often."""
    last_success: float = 0.0
    """Seconds since the epoch; 0 when no release has succeeded yet."""


def outcome(run: Run) -> str:
    """What a transition means: `success`, `paused`, `retreat` or `failure`."""
    if run.phase in (Phase.ABORTED, Phase.FAILED, Phase.REFUSED):
        return "failure"
    if run.phase in RETREAT:
        return "retreat"
    return "paused" if run.phase is Phase.PAUSED else "success"


class Ledger:
    """The totals of one environment in the release table."""

    def __init__(self, dynamodb: Any, table: str, environment: str) -> None:
        self._items = Partition(dynamodb, table, environment)

    def count(self, run: Run) -> Totals:
        """Add one transition; the totals with it. Raises `ClientError` and `BotoCoreError`."""
        expression = "ADD #step :one"
        values: dict[str, Any] = {":one": {"N": "1"}}
        if run.phase is Phase.SUCCEEDED:
            expression += f" SET {LAST_SUCCESS} = :at"
            values[":at"] = {"N": f"{run.ended_at:.3f}"}
        item = self._items.update(
            ITEM,
            expression,
            ExpressionAttributeNames={"#step": f"{run.phase} {outcome(run)}"},
            ExpressionAttributeValues=values,
        )
        return _totals(item)

    def read(self) -> Totals:
        """The totals as they stand."""
        return _totals(self._items.get(ITEM) or {})


def _totals(item: Mapping[str, Any]) -> Totals:
    counts = {}
    for name, value in item.items():
        step, _, result = name.partition(" ")
        if result:
            counts[step, result] = int(value["N"])
    return Totals(counts, float(item[LAST_SUCCESS]["N"]) if LAST_SUCCESS in item else 0.0)


def register(registry: CollectorRegistry, environment: str, run: Run | None, totals: Totals) -> None:
    """Put the metrics of an environment into `registry`; `run` is its newest release, if there was one."""
    labels = ["environment"]
    moving = run is not None and not run.ended and run.phase is not Phase.LINGER
    Gauge(
        "superagent_release_in_progress", "1 while a release moves traffic.", labels, registry=registry
    ).labels(environment).set(float(moving))
    if run is not None:
        weight = Gauge(
            "superagent_release_weight",
            "Per cent of traffic of each colour, as the release wrote it.",
            [*labels, "colour"],
            registry=registry,
        )
        for colour, value in run.weights().items():
            weight.labels(environment, colour).set(value)
    transitions = Counter(
        "superagent_release_transitions",
        "Transitions of releases.",
        [*labels, "step", "outcome"],
        registry=registry,
    )
    for (step, result), count in totals.transitions.items():
        transitions.labels(environment, step, result).inc(count)
    if totals.last_success:
        Gauge(
            "superagent_release_last_success_timestamp_seconds",
            "When a release last succeeded.",
            labels,
            registry=registry,
        ).labels(environment).set(totals.last_success)
