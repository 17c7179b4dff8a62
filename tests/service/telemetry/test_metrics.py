"""Metric names are an interface."""

from __future__ import annotations

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.telemetry.metrics import DEFINITIONS, Metrics


def families(metrics: Metrics) -> dict[str, str]:
    text = generate_latest(metrics.registry).decode()
    return {family.name: family.type for family in text_string_to_metric_families(text)}


def test_everything_defined_is_exported_under_its_own_name_and_kind() -> None:
    exported = families(Metrics())
    for definition in DEFINITIONS:
        assert exported[definition.name.removesuffix("_total")] == definition.kind


def test_nothing_of_ours_is_exported_that_is_not_defined() -> None:
    defined = {definition.name.removesuffix("_total") for definition in DEFINITIONS}
    ours = {name for name in families(Metrics()) if name.startswith("superagent_")}
    assert ours == defined


def test_known_children_start_at_zero() -> None:
    text = generate_latest(Metrics().registry).decode()
    assert 'superagent_cache_hits_total{cache="exact"} 0.0' in text
    assert 'superagent_rate_limited_total{scope="client"} 0.0' in text


def test_latency_has_an_edge_above_every_answer_that_is_allowed() -> None:
    for definition in DEFINITIONS:
        if definition.name.endswith(("request_duration_seconds", "latency_seconds", "ttft_seconds")):
            assert definition.buckets[-1] >= 300
            assert list(definition.buckets) == sorted(set(definition.buckets))
