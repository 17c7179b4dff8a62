"""What one colour did in a stretch of time, whatever it was measured with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from infra.stack.outputs import Colour

# Names and labels: service/telemetry/metrics.py; docs/architecture.md makes them a contract.
REQUESTS: Final = "superagent_http_requests_total"
DURATION: Final = "superagent_http_request_duration_seconds_bucket"
TTFT: Final = "superagent_provider_ttft_seconds_bucket"
PROVIDER_CALLS: Final = "superagent_provider_requests_total"
COST: Final = "superagent_provider_cost_usd_total"
CPU: Final = "process_cpu_seconds_total"
IN_FLIGHT: Final = "superagent_http_requests_in_flight"

API_PATHS: Final = r"/v1/.*|/chat.*"
"""Route templates that count as traffic; health checks do not."""
CHEAP_PATH: Final = "/v1/models"
"""Too cheap to tell anything about latency: it counts for errors alone."""
BROKEN_CALLS: Final = "timeout|transport|internal"
"""`status` of provider calls that got no answer or lost it half-way (service/providers/errors.py)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Increases over the stretch; histograms are cumulative {edge: count}."""

    requests: float = 0.0
    errors: float = 0.0
    """Answers with 5xx."""
    duration: Mapping[float, float] = field(default_factory=dict)
    ttft: Mapping[float, float] = field(default_factory=dict)
    provider_calls: float = 0.0
    broken_streams: float = 0.0
    cost_usd: float = 0.0
    cpu_seconds: float = 0.0
    cpu_per_instance: float | None = None
    """CPU seconds a second, averaged over the colour's instances; `None` when it is not exported."""
    seconds: float | None = None
    """Stretch that the increases really cover; `None`: all of the one that was asked for."""


class Source(Protocol):
    """A metric store."""

    @property
    def interval(self) -> float:
        """Asking more often gives no newer data; seconds."""
        ...

    def window(self, colour: Colour, since: float, now: float) -> Sample | None:
        """Increases of a colour from `since` to `now` (epoch seconds); `None` when the store does not answer
        or knows nothing of this colour."""
        ...
