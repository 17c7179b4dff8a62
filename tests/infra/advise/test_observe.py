"""From the store's answers to what was observed: queries of metrics that exist, and nothing invented."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.advise.observe import GROWTH, QUERIES, expression, observe
from infra.advise.observed import times
from infra.advise.pieces import pieces
from infra.advise.settings import window
from infra.errors import UserError
from tests.promql import known_metrics, problems

Row = dict[str, Any]


def row(value: float | str, **labels: str) -> Row:
    return {"metric": labels, "value": [0, str(value)]}


class Store:
    """Answers by the metric that a query reads; notes what it was asked."""

    def __init__(self, answers: dict[str, list[Row]]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, float]] = []

    def query(self, expression: str, at: float) -> list[Row]:
        self.asked.append((expression, at))
        for needle, rows in self.answers.items():
            if needle in expression:
                return rows
        return []


@pytest.mark.parametrize("name", [*QUERIES, "growth"])
def test_a_query_reads_only_metrics_and_labels_that_exist(name: str) -> None:
    text = expression(QUERIES.get(name, GROWTH), "prod", 3600, 60)
    assert problems(text, known_metrics()) == []
    selectors = text.count("{")
    assert selectors and text.count('environment="prod"') == selectors


def test_an_empty_store_is_no_data_and_not_zero_milliseconds() -> None:
    seen = observe(Store({}), "local", 0, 3600, 15)
    assert seen.data_since is None and seen.covered == 0
    assert seen.requests == 0 and seen.endpoints == () and seen.instances == ()
    assert seen.machine_busy is None and seen.capacity is None


def test_what_the_store_says_is_what_was_seen() -> None:
    http = {"method": "POST", "path": "/v1/chat/completions"}
    store = Store(
        {
            "timestamp(": [row(3000)],
            "http_requests_total": [row(90, **http, status="200"), row(10, **http, status="503")],
            "http_request_duration_seconds_bucket": [
                row(0, **http, le="0.1"), row(50, **http, le="0.25"), row(100, **http, le="0.5"),
                row(100, **http, le="+Inf"),
            ],
            "http_request_duration_seconds_sum": [row(25, **http)],
            "provider_requests_total": [
                row(80, provider="a", status="ok"), row(0, provider="b", status="ok"),
            ],
            "circuit_breaker_state": [row(0.5, provider="c"), row(0, provider="b")],
            "cache_hits": [row(30, cache="exact")],
            "cache_misses": [row(10, cache="exact")],
            "process_resident_memory_bytes": [row(7e7, instance="i:1", colour="blue")],
            "quantile_over_time(0.9": [row(0.9, instance="i:1", colour="blue")],
            "node_cpu": [row("NaN")],
        }
    )  # fmt: skip
    seen = observe(store, "local", 0, 3600, 15)
    (endpoint,) = seen.endpoints
    assert (endpoint.requests, endpoint.errors) == (100, 10)
    assert (endpoint.times.mean, endpoint.times.median) == (0.25, 0.25)
    assert (endpoint.times.fastest, endpoint.times.slowest) == (0.1, 0.5)
    assert endpoint.times.p95 == pytest.approx(0.475)
    assert [one.name for one in seen.providers] == ["a", "c"]
    assert seen.caches["exact"].hit_rate == 0.75
    assert (seen.instances[0].busy, seen.instances[0].memory) == (0.9, 7e7)
    assert seen.machine_busy is None
    assert seen.covered == 600
    assert {at for _, at in store.asked} == {3600}


counts = st.dictionaries(st.sampled_from([0.01, 0.1, 1.0, 10.0, math.inf]), st.integers(0, 50), min_size=1)


@given(counts)
@example({0.1: 3, math.inf: 3})
def test_bounds_enclose_every_quantile(found: dict[float, int]) -> None:
    buckets, total = {}, 0.0
    for edge in sorted({*found, math.inf}):
        total += found.get(edge, 0)
        buckets[edge] = total
    seen = times(buckets, total * 0.5)
    if not total:
        assert seen.p95 is None and seen.fastest is None
        return
    assert seen.median is not None and seen.p95 is not None
    assert seen.fastest is not None and seen.slowest is not None
    assert seen.fastest <= seen.median <= seen.p95 <= seen.slowest


def test_pieces_lie_side_by_side_and_end_at_the_moment() -> None:
    store = Store({"duration": [row(5, le="0.1"), row(10, le="+Inf")], "http_requests": [row(10)]})
    found = pieces(store, "local", 1000.0, 15.0, 4)
    assert [one.at for one in found] == [955, 970, 985, 1000]
    assert all("[15s]" in text for text, _ in store.asked)
    assert [one.p95 for one in pieces(Store({}), "local", 1000.0, 15.0, 2)] == [None, None]


@pytest.mark.parametrize("text", ["", "x", "5", "10s", "-1h", "8d", "1e9s", "nan", "infm"])
def test_a_stretch_that_cannot_be_used_is_refused_with_its_option(text: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"--since {text!r}")):
        window(text, "--since")


@pytest.mark.parametrize(
    ("text", "seconds"), [("60", 60), ("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604800)]
)
def test_stretches(text: str, seconds: float) -> None:
    assert window(text, "--since") == seconds
