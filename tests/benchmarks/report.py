"""What a run found, as tables for people and as JSON."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table


@dataclass
class Cost:
    """One row of the first table; `cpu` is microseconds a request in each round, the rest is of all."""

    name: str
    cpu: list[float] = field(default_factory=list)
    times_floor: list[float] = field(default_factory=list)
    rate: float = 0.0
    p50_ms: float = 0.0
    per_event: float = 0.0
    memory_mb: float = 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.cpu)

    @property
    def ratio(self) -> float:
        return statistics.median(self.times_floor) if self.times_floor else float("nan")


@dataclass
class Claim:
    """One line of the second table; `reached` is None where there is no goal, or nothing to compare with."""

    part: str
    what: str
    value: str
    goal: str = ""
    reached: bool | None = None


class Report:
    """Filled part by part."""

    def __init__(self) -> None:
        self.about: dict[str, str] = {}
        self.costs: list[Cost] = []
        self.claims: list[Claim] = []

    def claim(self, part: str, what: str, value: str, goal: str = "", reached: bool | None = None) -> None:
        self.claims.append(Claim(part, what, value, goal, reached))

    def cost(self, name: str) -> Cost | None:
        return next((one for one in self.costs if one.name == name), None)

    def show(self, console: Console) -> None:
        console.print(" · ".join([f"{name}: {value}" for name, value in self.about.items()]))
        if self.costs:
            table = Table(title="CPU of the process per request, µs: median and least of the rounds")
            for column in ("", "CPU µs", "least", "× floor", "requests/s", "p50 ms", "RSS MB"):
                table.add_column(column, justify="left" if not column else "right")
            for row in self.costs:
                name = f"{row.name} ({row.per_event:.0f} µs an event)" if row.per_event else row.name
                table.add_row(
                    name, f"{row.median:,.0f}", f"{min(row.cpu):,.0f}", f"{row.ratio:.1f}",
                    f"{row.rate:,.0f}", f"{row.p50_ms:.2f}", f"{row.memory_mb:.0f}",
                )  # fmt: skip
            console.print(table)
        if self.claims:
            table = Table(title="Against the goals")
            for column in ("part", "what", "measured", "goal", "reached"):
                table.add_column(column)
            for one in self.claims:
                reached = {True: "yes", False: "NO", None: "–"}[one.reached]
                table.add_row(one.part, one.what, one.value, one.goal, reached)
            console.print(table)

    def write(self, out: TextIO) -> None:
        costs: list[dict[str, Any]] = [
            {**asdict(one), "cpu_median": one.median, "ratio": one.ratio} for one in self.costs
        ]
        found = {"about": self.about, "costs": costs, "claims": [asdict(one) for one in self.claims]}
        json.dump(found, out, indent=2)
        out.write("\n")
