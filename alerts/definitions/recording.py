"""What dashboards and alerts read often, computed once."""

from __future__ import annotations

from typing import Final

from alerts.model import USERS, Recording


def _quantile(q: str) -> Recording:
    return Recording(
        f"environment:superagent_http_request_duration_seconds:p{q}_5m",
        f"""
        histogram_quantile(0.{q},
        sum by (environment, le) (rate(superagent_http_request_duration_seconds_bucket{{{USERS}}}[5m])))
        """,
    )


RECORDINGS: Final = (
    Recording(
        "environment:superagent_http_requests:rate5m",
        f"sum by (environment) (rate(superagent_http_requests_total{{{USERS}}}[5m]))",
    ),
    _quantile("50"),
    _quantile("95"),
    _quantile("99"),
    Recording(
        "environment_cache:superagent_cache_lookups:rate30m",
        """
        sum by (environment, cache) (rate(superagent_cache_hits_total[30m]))
        + sum by (environment, cache) (rate(superagent_cache_misses_total[30m]))
        """,
    ),
    Recording(
        "environment_cache:superagent_cache_hits:ratio_rate30m",
        """
        sum by (environment, cache) (rate(superagent_cache_hits_total[30m]))
        / environment_cache:superagent_cache_lookups:rate30m
        """,
    ),
)
