"""Metrics of a colour: scraped from its instances, or asked of a (fake, loopback) Prometheus."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from infra.errors import UserError
from infra.release import sample
from infra.release.source_prometheus import Prometheus, PrometheusSource
from infra.release.source_scrape import ScrapeSource, counters, gauge
from service.telemetry import metrics as service_metrics


@dataclass
class Page:
    """One loopback server whose answers the test writes."""

    text: str = ""
    status: int = 200
    statuses: list[int] = field(default_factory=list)
    values: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    body: bytes = b""
    """Given instead of a vector."""


@pytest.fixture
def page() -> Iterator[Page]:
    made = Page()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(made.status, made.text.encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            query = parse_qs(body)["query"][0]
            made.asked.append(query)
            made.headers.append(dict(self.headers.items()))
            status = made.statuses.pop(0) if made.statuses else 200
            found = next((value for pattern, value in made.values.items() if re.search(pattern, query)), [])
            data = {"status": "success", "data": {"resultType": "vector", "result": found}}
            self.reply(status, made.body or json.dumps(data).encode())

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield made
    server.shutdown()
    server.server_close()


CHAT = 'method="POST",path="/v1/chat/completions"'


def exposition(requests: int, errors: int, seconds: float = 0.2) -> str:
    lines = [
        f'superagent_http_requests_total{{{CHAT},status="200"}} {requests - errors}',
        f'superagent_http_requests_total{{{CHAT},status="503"}} {errors}',
        'superagent_http_requests_total{method="GET",path="/health/ready",status="200"} 99999',
        *(
            "superagent_http_request_duration_seconds_bucket"
            f'{{method="POST",path="/v1/chat/completions",le="{edge}"}} {requests if value >= seconds else 0}'
            for edge, value in (("0.1", 0.1), ("0.25", 0.25), ("+Inf", math.inf))
        ),
        f"process_cpu_seconds_total {requests / 100}",
        "superagent_http_requests_in_flight 3",
    ]
    return "\n".join(lines) + "\n"


def test_a_window_is_the_increase_since_its_first_snapshot(page: Page) -> None:
    source = ScrapeSource(lambda colour: [f"{page.url}/metrics"])
    page.text = exposition(1_000, 10)
    source.window("green", 100, 100)
    page.text = exposition(1_100, 15)
    found = source.window("green", 100, 110)
    assert found is not None
    assert (found.requests, found.errors) == (100, 5)
    assert found.duration == {0.1: 0, 0.25: 100, math.inf: 100}
    assert found.cpu_per_instance == pytest.approx(0.1)


def test_a_restarted_instance_counts_from_zero_and_never_backwards(page: Page) -> None:
    source = ScrapeSource(lambda colour: [f"{page.url}/metrics"])
    page.text = exposition(1_000, 10)
    source.window("green", 100, 100)
    page.text = exposition(40, 4)
    found = source.window("green", 100, 101)
    assert found is not None
    assert (found.requests, found.errors) == (40, 4)


def test_what_happened_before_the_window_does_not_count(page: Page) -> None:
    source = ScrapeSource(lambda colour: [f"{page.url}/metrics"])
    for at, requests in ((100, 1_000), (110, 1_500), (120, 1_600)):
        page.text = exposition(requests, 0)
        found = source.window("green", 110, at)
    assert found is not None
    assert found.requests == 100


def test_no_instance_that_answers_is_no_data(page: Page) -> None:
    page.status = 503
    assert ScrapeSource(lambda colour: [f"{page.url}/metrics"]).window("green", 0, 1) is None
    assert ScrapeSource(lambda colour: ["http://127.0.0.1:1/metrics"]).window("green", 0, 1) is None
    assert ScrapeSource(lambda colour: []).window("green", 0, 1) is None


def test_the_names_are_those_that_the_service_exports() -> None:
    exported = {one.name: set(one.labels) for one in service_metrics.DEFINITIONS}
    assert exported[sample.REQUESTS] == {"method", "path", "status"}
    assert exported[sample.DURATION.removesuffix("_bucket")] == {"method", "path"}
    assert exported[sample.TTFT.removesuffix("_bucket")] == {"provider"}
    assert exported[sample.PROVIDER_CALLS] >= {"provider", "status"}
    assert {sample.COST, sample.IN_FLIGHT} <= set(exported)


def test_a_page_becomes_counters() -> None:
    assert gauge(exposition(1, 0), "superagent_http_requests_in_flight") == 3
    assert counters(exposition(7, 2))["errors", 0.0] == 2


def vector(value: float, **labels: str) -> list[dict[str, Any]]:
    return [{"metric": labels, "value": [0, str(value)]}]


def test_a_prometheus_is_asked_for_increases_of_one_colour_in_one_environment(page: Page) -> None:
    page.values = {
        r'status=~"5\.\."': vector(4),
        r"sum\(increase\(superagent_http_requests_total": vector(200),
        "superagent_http_request_duration": [
            *vector(150, le="0.1"), *vector(200, le="+Inf"),
        ],
        "in_flight": vector(7),
    }  # fmt: skip
    source = PrometheusSource(Prometheus(page.url), "prod")
    found = source.window("green", 1_000, 1_300)
    assert found is not None
    assert (found.requests, found.errors) == (200, 4)
    assert found.duration == {0.1: 150, math.inf: 200}
    assert source.in_flight("green") == 7
    assert all('environment="prod"' in query and 'colour="green"' in query for query in page.asked)
    assert all("[300s]" in query for query in page.asked if "increase" in query)


def test_a_colour_that_the_store_does_not_know_is_no_data(page: Page) -> None:
    assert PrometheusSource(Prometheus(page.url), "prod").window("green", 0, 300) is None


def test_a_store_that_stumbles_is_asked_again_and_one_that_stays_away_is_no_data(page: Page) -> None:
    page.values = {"in_flight": vector(7)}
    page.statuses = [503, 429]
    store = Prometheus(page.url, sleep=lambda seconds: None)
    assert PrometheusSource(store, "prod").in_flight("green") == 7
    gone = Prometheus("http://127.0.0.1:1", sleep=lambda seconds: None)
    assert PrometheusSource(gone, "prod").window("green", 0, 300) is None


def test_a_store_behind_a_page_that_is_no_answer_of_its_is_no_data(page: Page) -> None:
    page.body = b"<html>Please log in</html>"
    store = Prometheus(page.url, sleep=lambda seconds: None)
    assert PrometheusSource(store, "prod").window("green", 0, 300) is None
    page.body = b'{"status": "success"}'
    assert PrometheusSource(store, "prod").in_flight("green") is None


def test_a_store_that_refuses_says_so_with_a_fix(page: Page) -> None:
    page.statuses = [403]
    with pytest.raises(UserError, match=r"403.*aps:QueryMetrics"):
        PrometheusSource(Prometheus(page.url), "prod").window("green", 0, 300)


def test_queries_of_a_managed_prometheus_are_signed(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-one")
    Prometheus(page.url, region="eu-central-1").query("up", 1)
    (headers,) = page.headers
    assert re.match(
        r"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/\d{8}/eu-central-1/aps/aws4_request",
        headers["Authorization"],
    )
