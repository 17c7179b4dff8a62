"""Panels that several dashboards have in the same shape: a pace, a speed, a score, an age."""

from __future__ import annotations

from typing import Any

from dashboards.panels import Query, Unit, lines, number
from dashboards.queries import mean, quantile, rate, tool, total


def flow(
    title: str,
    metric: str,
    by: tuple[str, ...],
    description: str,
    *,
    unit: Unit = "ops",
    silent: bool = False,
    joined: str = " ",
    **more: Any,
) -> Any:
    """How many a second of a counter, stacked by labels; `silent` ones draw 0 instead of nothing."""
    expr = total(rate(metric), *by) + (" or vector(0)" if silent else "")
    legend = joined.join(f"{{{{{label}}}}}" for label in by)
    return lines(title, [Query(expr, legend)], description, unit=unit, stacked=True, **more)


def speed(
    title: str,
    metric: str,
    by: str,
    description: str,
    *,
    q: float = 0.95,
    only: tuple[str, ...] = (),
    **more: Any,
) -> Any:
    """A quantile of one of the service's histograms of seconds, a line for each value of a label."""
    query = Query(quantile(q, metric, by, only=only), f"{{{{{by}}}}}")
    return lines(title, [query], description, unit="s", **more)


def speeds(title: str, metric: str, quantiles: tuple[float, ...], description: str, **more: Any) -> Any:
    """Several quantiles of one of the service's histograms of seconds."""
    only = more.pop("only", ())
    queries = [Query(quantile(q, metric, only=only), f"p{q * 100:.0f}") for q in quantiles]
    return lines(title, queries, description, unit="s", **more)


def score(title: str, metric: str, legend: str, description: str, *by: str, **more: Any) -> Any:
    """The mean of a histogram of values from 0 to 1."""
    return lines(title, [Query(mean(metric, *by), legend)], description, unit="percentunit", top=1, **more)


def age(title: str, metric: str, description: str, **more: Any) -> Any:
    """Time since the newest of the tools' timestamps."""
    query = Query(f"time() - max({tool(metric)})")
    return number(title, [query], description, unit="dtdurations", graph=False, **more)
