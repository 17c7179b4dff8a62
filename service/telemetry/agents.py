"""What agents report, as metrics. Names of agents come from code and installed packages: they are bounded."""

from __future__ import annotations

from service.agents.registry import Outcome
from service.telemetry.metrics import Metrics


class AgentMetrics:
    """An `Observer` of `service.agents.registry.Registry`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __call__(self, name: str, outcome: Outcome, seconds: float) -> None:
        self._metrics.agent_requests.labels(name, outcome).inc()
        self._metrics.agent_duration.labels(name).observe(seconds)
