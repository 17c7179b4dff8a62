"""Every metric the service exports. Names and labels are an interface: dashboards and alerts are checked
against `DEFINITIONS`. Labels are bounded: route templates, configured names, small enumerations.

Import this module, never write a metric name elsewhere in `service`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from service.telemetry.tally import Counts, Distributions

Kind = Literal["counter", "gauge", "histogram"]

# Seconds. An edge at, and above, every alert threshold; 300 s is the longest answer allowed.
LATENCY: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0, 7.5,
    10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 240.0, 300.0,
)  # fmt: skip
TOKEN_TIME: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.02,
    0.03,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.5,
    1.0,
    2.0,
    5.0,
)
DEBATE_SECONDS: Final = (1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 240.0, 300.0, 600.0)
UNIT_INTERVAL: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True)
class Definition:
    """One metric as it is scraped; `name` includes the suffix `_total` of counters."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


HTTP_REQUESTS: Final = Definition(
    "superagent_http_requests_total", "counter", "Answered requests.", ("method", "path", "status")
)
HTTP_DURATION: Final = Definition(
    "superagent_http_request_duration_seconds", "histogram",
    "Request received to last byte sent; streams included.", ("method", "path"), LATENCY,
)  # fmt: skip
HTTP_IN_FLIGHT: Final = Definition(
    "superagent_http_requests_in_flight", "gauge", "Requests being answered now, open streams included."
)
PROVIDER_REQUESTS: Final = Definition(
    "superagent_provider_requests_total", "counter",
    "Calls of a provider; status is `ok` or the error class.", ("provider", "model", "status"),
)  # fmt: skip
PROVIDER_LATENCY: Final = Definition(
    "superagent_provider_latency_seconds", "histogram", "Call sent to last byte.", ("provider",), LATENCY
)
PROVIDER_TTFT: Final = Definition(
    "superagent_provider_ttft_seconds", "histogram", "Call sent to first token.", ("provider",), LATENCY
)
PROVIDER_TOKEN_TIME: Final = Definition(
    "superagent_provider_time_per_output_token_seconds", "histogram",
    "Time between output tokens, averaged over one answer.", ("provider",), TOKEN_TIME,
)  # fmt: skip
PROVIDER_TOKENS: Final = Definition(
    "superagent_provider_tokens_total", "counter",
    "Tokens; type is `input`, `output` or `cached`.", ("provider", "model", "type"),
)  # fmt: skip
PROVIDER_COST: Final = Definition(
    "superagent_provider_cost_usd_total", "counter", "Cost of answers in USD.", ("provider", "model")
)
BREAKER_STATE: Final = Definition(
    "superagent_provider_circuit_breaker_state", "gauge", "0 closed, 1 open, 2 half-open.", ("provider",)
)
PROVIDER_HEALTH: Final = Definition(
    "superagent_provider_health_status", "gauge", "1 healthy, 0 not.", ("provider",)
)
FALLBACKS: Final = Definition(
    "superagent_provider_fallbacks_total",
    "counter",
    "Requests that moved on to another provider.",
    ("from", "to"),
)
DEBATES: Final = Definition("superagent_debates_total", "counter", "Finished debates.", ("status",))
DEBATES_ACTIVE: Final = Definition("superagent_debates_active", "gauge", "Debates running now.")
DEBATE_DURATION: Final = Definition(
    "superagent_debate_duration_seconds", "histogram", "Start to final answer.", (), DEBATE_SECONDS
)
DEBATE_QUALITY: Final = Definition(
    "superagent_debate_quality_score", "histogram", "Quality of a debate's answer, 0 to 1.", (), UNIT_INTERVAL
)
DEBATE_CONSENSUS: Final = Definition(
    "superagent_debate_consensus_level",
    "histogram",
    "Agreement of the debaters, 0 to 1.",
    (),
    UNIT_INTERVAL,
)
CACHE_HITS: Final = Definition("superagent_cache_hits_total", "counter", "Answers from a cache.", ("cache",))
CACHE_MISSES: Final = Definition("superagent_cache_misses_total", "counter", "Look-ups in vain.", ("cache",))
CACHE_SAVED: Final = Definition(
    "superagent_cache_saved_usd_total", "counter", "What cached answers would have cost in USD."
)
SEMANTIC_UNANSWERED: Final = Definition(
    "superagent_semantic_cache_unanswered_total", "counter",
    "Questions the semantic cache could not look up, or refused to answer; reason is `embedder` (failed or "
    "late), `resting` (it is left alone), `store` (Redis) or `guard` (similar, but means something else).",
    ("reason",),
)  # fmt: skip
RATE_LIMITED: Final = Definition(
    "superagent_rate_limited_total", "counter",
    "Refused requests; scope is `global`, `client`, `endpoint`, `tokens`, `budget` or `auth`.", ("scope",),
)  # fmt: skip
SECURITY_EVENTS: Final = Definition(
    "superagent_security_events_total", "counter", "Audit events by type.", ("type",)
)
ANSWER_QUALITY: Final = Definition(
    "superagent_answer_quality_score", "histogram",
    "Form of sampled answers, 0 to 1 (docs/quality.md).", ("provider",), UNIT_INTERVAL,
)  # fmt: skip
JOURNAL_PENDING: Final = Definition(
    "superagent_usage_journal_pending",
    "gauge",
    "Usage rows that Postgres does not have yet.",
)
DEPENDENCY_UP: Final = Definition(
    "superagent_dependency_up",
    "gauge",
    "1 while it answers; `postgres`, `redis`.",
    ("dependency",),
)
AGENT_REQUESTS: Final = Definition(
    "superagent_agent_requests_total", "counter",
    "Messages given to agents; outcome is `ok`, `refused`, `failed` or `timeout`.", ("agent", "outcome"),
)  # fmt: skip
AGENT_DURATION: Final = Definition(
    "superagent_agent_duration_seconds", "histogram", "Time of one message at an agent.", ("agent",), LATENCY
)
TRACE_SPANS: Final = Definition(
    "superagent_trace_spans_total", "counter",
    "Spans by what became of them: `sent`, `rejected` by the receiver, or `dropped` here.", ("outcome",),
)  # fmt: skip
BUILD_INFO: Final = Definition(
    "superagent_build_info", "gauge", "Always 1; what runs here.", ("version", "colour")
)

DEFINITIONS: Final[tuple[Definition, ...]] = (
    HTTP_REQUESTS, HTTP_DURATION, HTTP_IN_FLIGHT,
    PROVIDER_REQUESTS, PROVIDER_LATENCY, PROVIDER_TTFT, PROVIDER_TOKEN_TIME, PROVIDER_TOKENS, PROVIDER_COST,
    BREAKER_STATE, PROVIDER_HEALTH, FALLBACKS,
    DEBATES, DEBATES_ACTIVE, DEBATE_DURATION, DEBATE_QUALITY, DEBATE_CONSENSUS,
    CACHE_HITS, CACHE_MISSES, CACHE_SAVED, SEMANTIC_UNANSWERED, RATE_LIMITED, SECURITY_EVENTS,
    AGENT_REQUESTS, AGENT_DURATION, ANSWER_QUALITY,
    JOURNAL_PENDING, DEPENDENCY_UP, TRACE_SPANS, BUILD_INFO,
)  # fmt: skip

CACHES: Final = ("exact", "semantic")
SEMANTIC_REASONS: Final = ("embedder", "resting", "store", "guard")
LIMIT_SCOPES: Final = ("global", "client", "endpoint", "tokens", "budget", "auth")
DEBATE_STATUSES: Final = ("completed", "cancelled", "failed")
DEPENDENCIES: Final = ("postgres", "redis")
SPAN_OUTCOMES: Final = ("sent", "rejected", "dropped")


class Metrics:
    """One process's metrics in a registry of their own. Children with known labels start at 0, because
    `increase()` does not see the first increment of a series that did not exist.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.http_requests = self._counter(HTTP_REQUESTS)
        self.http_duration = self._histogram(HTTP_DURATION)
        self.http_in_flight = self._gauge(HTTP_IN_FLIGHT)
        self.provider_requests = self._counter(PROVIDER_REQUESTS)
        self.provider_latency = self._histogram(PROVIDER_LATENCY)
        self.provider_ttft = self._histogram(PROVIDER_TTFT)
        self.provider_token_time = self._histogram(PROVIDER_TOKEN_TIME)
        self.provider_tokens = self._counter(PROVIDER_TOKENS)
        self.provider_cost = self._counter(PROVIDER_COST)
        self.breaker_state = self._gauge(BREAKER_STATE)
        self.provider_health = self._gauge(PROVIDER_HEALTH)
        self.fallbacks = self._counter(FALLBACKS)
        self.debates = self._counter(DEBATES)
        self.debates_active = self._gauge(DEBATES_ACTIVE)
        self.debate_duration = self._histogram(DEBATE_DURATION)
        self.debate_quality = self._histogram(DEBATE_QUALITY)
        self.debate_consensus = self._histogram(DEBATE_CONSENSUS)
        self.agent_requests = self._counter(AGENT_REQUESTS)
        self.agent_duration = self._histogram(AGENT_DURATION)
        self.answer_quality = self._histogram(ANSWER_QUALITY)
        self.cache_hits = self._counter(CACHE_HITS)
        self.cache_misses = self._counter(CACHE_MISSES)
        self.cache_saved = self._counter(CACHE_SAVED)
        self.semantic_unanswered = self._counter(SEMANTIC_UNANSWERED)
        self.rate_limited = self._counter(RATE_LIMITED)
        self.security_events = self._counter(SECURITY_EVENTS)
        self.journal_pending = self._gauge(JOURNAL_PENDING)
        self.dependency_up = self._gauge(DEPENDENCY_UP)
        self.trace_spans = self._counter(TRACE_SPANS)
        self.build_info = self._gauge(BUILD_INFO)
        for cache in CACHES:
            self.cache_hits.labels(cache)
            self.cache_misses.labels(cache)
        for reason in SEMANTIC_REASONS:
            self.semantic_unanswered.labels(reason)
        for scope in LIMIT_SCOPES:
            self.rate_limited.labels(scope)
        for status in DEBATE_STATUSES:
            self.debates.labels(status)
        for dependency in DEPENDENCIES:
            self.dependency_up.labels(dependency)
        for outcome in SPAN_OUTCOMES:
            self.trace_spans.labels(outcome)

    def _counter(self, what: Definition) -> Counts:
        name = what.name.removesuffix("_total")
        return Counts(CounterMetricFamily, name, what.help, what.labels, self.registry)

    def _gauge(self, what: Definition) -> Counts:
        return Counts(GaugeMetricFamily, what.name, what.help, what.labels, self.registry)

    def _histogram(self, what: Definition) -> Distributions:
        return Distributions(what.name, what.help, what.labels, what.buckets, self.registry)
