"""Counters, gauges and histograms for one event loop: no locks, so an increment costs a tenth of a
microsecond instead of one. prometheus_client collects them like its own; only the loop may touch them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Count:
    """One series of a counter or gauge. Where every request counts, `value` is raised without a call."""

    __slots__ = ("_source", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self._source: Callable[[], float] | None = None

    def inc(self, amount: float = 1.0) -> None:
        self.value += amount

    def dec(self, amount: float = 1.0) -> None:
        self.value -= amount

    def set(self, value: float) -> None:
        self.value = value

    def set_function(self, source: Callable[[], float]) -> None:
        """Ask `source` at each scrape instead of keeping a value."""
        self._source = source

    def read(self) -> float:
        return self.value if self._source is None else self._source()


class Distribution:
    """One series of a histogram."""

    __slots__ = ("counts", "edges", "total")

    def __init__(self, edges: tuple[float, ...]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.edges, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus wants them."""
        found, reached = [], 0
        for edge, count in zip((*self.edges, float("inf")), self.counts, strict=True):
            reached += count
            found.append((_edge(edge), float(reached)))
        return found


class Counts(Collector):
    """A counter or gauge with labels; without labels it is its own only series."""

    def __init__(
        self,
        family: type[CounterMetricFamily] | type[GaugeMetricFamily],
        name: str,
        text: str,
        labels: tuple[str, ...],
        registry: CollectorRegistry,
    ) -> None:
        self._family, self._name, self._text, self._labels = family, name, text, labels
        self._children: dict[tuple[str, ...], Count] = {}
        if not labels:
            self.labels()
        registry.register(self)

    def labels(self, *values: str) -> Count:
        """The series with these label values, made at 0 when it is new."""
        if len(values) != len(self._labels):
            raise ValueError(f"{self._name} has the labels {self._labels}")
        return self._children.setdefault(values, Count())

    def inc(self, amount: float = 1.0) -> None:
        self.labels().inc(amount)

    def dec(self, amount: float = 1.0) -> None:
        self.labels().dec(amount)

    def set(self, value: float) -> None:
        self.labels().set(value)

    def collect(self) -> Iterator[Metric]:
        family = self._family(self._name, self._text, labels=self._labels)
        for values, child in self._children.items():
            family.add_metric(list(values), child.read())
        yield family


class Distributions(Collector):
    """A histogram with labels."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: tuple[str, ...],
        edges: tuple[float, ...],
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._text, self._labels, self._edges = name, text, labels, edges
        self._children: dict[tuple[str, ...], Distribution] = {}
        if not labels:
            self.labels()
        registry.register(self)

    def labels(self, *values: str) -> Distribution:
        """The series with these label values, made empty when it is new."""
        if len(values) != len(self._labels):
            raise ValueError(f"{self._name} has the labels {self._labels}")
        known = self._children.get(values)
        if known is None:
            known = self._children[values] = Distribution(self._edges)
        return known

    def observe(self, value: float) -> None:
        self.labels().observe(value)

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, child in self._children.items():
            family.add_metric(list(values), buckets=child.buckets(), sum_value=child.total)
        yield family


def _edge(value: float) -> str:
    return "+Inf" if value == float("inf") else repr(value)
