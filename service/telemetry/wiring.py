"""Tracing as the settings want it; without a receiver there is none."""

from __future__ import annotations

from service.settings import Settings
from service.telemetry.exporter import Exporter, parse_headers
from service.telemetry.logs import JsonLog
from service.telemetry.metrics import Metrics
from service.telemetry.traces import Tracer


def exporter(settings: Settings, metrics: Metrics, log: JsonLog) -> Exporter | None:
    """Raises `ValueError` naming the setting that is wrong."""
    if not settings.trace_url:
        return None
    try:
        headers = parse_headers(settings.trace_headers.get_secret_value() if settings.trace_headers else "")
    except ValueError as error:
        raise ValueError(f"SUPERAGENT_TRACE_HEADERS: {error}.") from None
    resource = {
        "service.name": "superagent",
        "service.version": settings.version,
        "deployment.environment.name": settings.environment,
        "superagent.colour": settings.colour or None,
    }
    children = {what: metrics.trace_spans.labels(what) for what in ("sent", "rejected", "dropped")}
    try:
        return Exporter(
            settings.trace_url, headers, resource, lambda what, spans: children[what].inc(spans), log
        )
    except ValueError as error:
        raise ValueError(f"SUPERAGENT_TRACE_URL: {error}.") from None


def tracer(settings: Settings, to: Exporter | None) -> Tracer | None:
    if to is None:
        return None
    return Tracer(settings.trace_sample, settings.trace_parent_based, to.offer)
