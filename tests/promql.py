"""What an expression reads: checked against the metrics that the service and the exporters really have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from alerts.groups import GROUPS
from service.telemetry.metrics import DEFINITIONS

Known = dict[str, set[str]]
ROOT = Path(__file__).parents[1]
EVERYWHERE = {"environment", "job", "instance"}


def exporters() -> dict[str, Any]:
    """The checked-in table."""
    table: dict[str, Any] = yaml.safe_load((ROOT / "alerts" / "exporters.yml").read_text())
    return table


def known_metrics() -> Known:
    """Metric name -> every label it can have: the service's, the exporters' and the recorded ones."""
    found: Known = {}
    table = exporters()
    for entry in table.values():
        for name, labels in entry["metrics"].items():
            found[name] = {*labels, *entry["target_labels"], *EVERYWHERE}
    service_labels = EVERYWHERE | set(table["superagent"]["target_labels"])
    for metric in DEFINITIONS:
        labels = {*metric.labels, *service_labels}
        if metric.kind == "histogram":
            found |= {f"{metric.name}_sum": labels, f"{metric.name}_count": labels}
            found[f"{metric.name}_bucket"] = labels | {"le"}
        else:
            found[metric.name] = labels
    for group in GROUPS.values():
        for rule in group.rules:
            if "record" in rule:  # the part before the colon names the labels that are left
                found[rule["record"]] = set(rule["record"].split(":")[0].split("_"))
    return found


def problems(expr: str, known: Known) -> list[str]:
    """Unknown metrics and labels in `expr`; empty when all is well. Raises when it does not parse."""
    return list(_walk(promql_parser.parse(expr), known))


def metrics_in(expr: str) -> set[str]:
    """Names of the metrics that `expr` reads."""
    return {selector.name for selector in _selectors(promql_parser.parse(expr))}


def _children(node: Any) -> Iterator[Any]:
    for field in ("lhs", "rhs", "expr", "args", "vector_selector"):
        value = getattr(node, field, None)
        if value is not None:
            yield from value if isinstance(value, list) else [value]


def _selectors(node: Any) -> Iterator[Any]:
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for child in _children(node):
        yield from _selectors(child)


def _walk(node: Any, known: Known) -> Iterator[str]:
    if isinstance(node, promql_parser.VectorSelector):
        if node.name not in known:
            yield f"no such metric: {node.name}"
        for matcher in node.matchers.matchers:
            if matcher.name not in known.get(node.name, {matcher.name}):
                yield f"{node.name} has no label {matcher.name}"
    modifier = getattr(node, "modifier", None)
    grouped = isinstance(node, promql_parser.AggregateExpr) and modifier is not None
    if grouped:
        for selector in _selectors(node):
            for label in modifier.labels:
                if label not in known.get(selector.name, {label}):
                    yield f"{selector.name} has no label {label} to group by"
    for child in _children(node):
        yield from _walk(child, known)
