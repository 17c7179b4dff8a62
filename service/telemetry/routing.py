"""What routing reports, as metrics and log records; label children are looked up once."""

from __future__ import annotations

from typing import Any

from service.providers.base import ProviderError, Usage
from service.routing.context import Attempt, CallContext
from service.telemetry.attempts import AttemptLog
from service.telemetry.metrics import Metrics


class RoutingMetrics:
    """Implements `service.routing.recorder.RoutingRecorder`."""

    def __init__(self, metrics: Metrics, attempts: AttemptLog) -> None:
        self._metrics = metrics
        self._attempts = attempts
        self._ended: dict[tuple[str, str, str], tuple[Any, Any]] = {}
        self._providers: dict[str, tuple[Any, Any, Any]] = {}
        self._usage: dict[tuple[str, str], tuple[Any, Any, Any, Any]] = {}

    def ended(
        self, ctx: CallContext, attempt: Attempt, model: str, number: int, error: ProviderError | None
    ) -> None:
        identity = (attempt.provider, model, attempt.outcome)
        children = self._ended.get(identity)
        if children is None:
            requests = self._metrics.provider_requests.labels(*identity)
            children = self._ended[identity] = (requests, self._of(attempt.provider)[0])
        children[0].value += 1
        children[1].observe(attempt.seconds)
        if error is not None or self._attempts.all:
            self._attempts.write(ctx, attempt, model, number, error)

    def first_token(self, provider: str, seconds: float) -> None:
        self._of(provider)[1].observe(seconds)

    def token_pace(self, provider: str, seconds_per_token: float) -> None:
        self._of(provider)[2].observe(seconds_per_token)

    def usage(self, provider: str, model: str, usage: Usage, cost_usd: float) -> None:
        children = self._usage.get((provider, model))
        if children is None:
            tokens = self._metrics.provider_tokens
            children = self._usage[(provider, model)] = (
                tokens.labels(provider, model, "input"),
                tokens.labels(provider, model, "output"),
                tokens.labels(provider, model, "cached"),
                self._metrics.provider_cost.labels(provider, model),
            )
        sent, written, cached, cost = children
        sent.value += usage.input_tokens
        written.value += usage.output_tokens
        if usage.cache_read_tokens:
            cached.value += usage.cache_read_tokens
        cost.value += cost_usd

    def breaker(self, provider: str, state: int) -> None:
        self._metrics.breaker_state.labels(provider).set(state)

    def health(self, provider: str, healthy: bool) -> None:
        self._metrics.provider_health.labels(provider).set(1 if healthy else 0)

    def fallback(self, source: str, target: str) -> None:
        self._metrics.fallbacks.labels(source, target).inc()

    def _of(self, provider: str) -> tuple[Any, Any, Any]:
        children = self._providers.get(provider)
        if children is None:
            children = self._providers[provider] = (
                self._metrics.provider_latency.labels(provider),
                self._metrics.provider_ttft.labels(provider),
                self._metrics.provider_token_time.labels(provider),
            )
        return children
