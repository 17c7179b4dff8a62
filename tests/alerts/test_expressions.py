from __future__ import annotations

import re

import pytest

from alerts.groups import GROUPS
from service.telemetry.metrics import DEFINITIONS
from tests.promql import ROOT, exporters, known_metrics, metrics_in, problems

RULES = [(rule.get("alert") or rule["record"], rule["expr"]) for g in GROUPS.values() for rule in g.rules]


@pytest.mark.parametrize(("name", "expr"), RULES, ids=[name for name, _ in RULES])
def test_a_rule_reads_only_metrics_and_labels_that_exist(name: str, expr: str) -> None:
    assert problems(expr, known_metrics()) == []


def test_a_renamed_service_metric_is_noticed() -> None:
    """Take each service metric away in turn: whatever reads it must be named."""
    read = {name for _, expr in RULES for name in metrics_in(expr)}
    for metric in DEFINITIONS:
        names = {metric.name, f"{metric.name}_bucket", f"{metric.name}_count"}
        if not names & read:
            continue
        without = {name: labels for name, labels in known_metrics().items() if name not in names}
        assert any(problems(expr, without) for _, expr in RULES), metric.name


def test_a_misspelt_label_is_noticed() -> None:
    known = known_metrics()
    assert problems('superagent_http_requests_total{colr="blue"}', known) == [
        "superagent_http_requests_total has no label colr"
    ]
    assert problems("sum by (provder) (rate(superagent_provider_requests_total[5m]))", known) == [
        "superagent_provider_requests_total has no label provder to group by"
    ]


def test_every_threshold_on_a_quantile_has_a_bucket_edge_at_it_and_above_it() -> None:
    duration = next(m for m in DEFINITIONS if m.name == "superagent_http_request_duration_seconds")
    limits = [float(found) for _, expr in RULES for found in re.findall(r":p\d\d_5m > ([\d.]+)", expr)]
    edges = [float(found) for _, expr in RULES for found in re.findall(r'le="([\d.]+)"', expr)]
    assert sorted(limits) == [5.0, 10.0]
    assert set(edges) == {10.0}
    for limit in limits + edges:
        assert limit in duration.buckets
        assert max(duration.buckets) > limit


def test_the_table_of_the_tools_metrics_is_the_one_in_the_architecture_page() -> None:

    page = (
        (ROOT / "docs" / "architecture.md").read_text().split("## Metrics of the tools")[1].split("\n## ")[0]
    )
    promised = {
        name: sorted(set(labels.split(",")) - {"environment"})
        for name, labels in re.findall(r"`(superagent_\w+)\{([\w,]+)\}`", page)
    }
    assert {name: sorted(labels) for name, labels in exporters()["tools"]["metrics"].items()} == promised


def test_the_breach_pattern_names_event_types_that_the_service_books() -> None:
    expr = next(expr for name, expr in RULES if name == "SuperAgentSecurityBreachPattern")
    (types,) = re.findall(r'type=~"([\w|]+)"', expr)
    source = "".join(path.read_text() for path in (ROOT / "service").rglob("*.py"))
    assert [one for one in types.split("|") if f'"{one}"' not in source] == []
