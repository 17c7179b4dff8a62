"""Fragments of PromQL that every panel shares. Variables are Grafana's; the console knows them, too."""

from __future__ import annotations

from typing import Final

from alerts.model import USERS

ENVIRONMENT: Final = 'environment="$environment"'
SERVICE: Final = f'{ENVIRONMENT},colour=~"$colour"'
"""What the service exports carries its colour from the scrape (docs/architecture.md)."""

WINDOW: Final = "$__rate_interval"


def service(metric: str, *matchers: str) -> str:
    """A metric of the service in the chosen environment and colours."""
    return f"superagent_{metric}{{{','.join((SERVICE, *matchers))}}}"


def tool(metric: str, *matchers: str) -> str:
    """A metric of the tools or an exporter: it belongs to the environment, not to a colour."""
    return f"{metric}{{{','.join((ENVIRONMENT, *matchers))}}}"


def rate(selector: str) -> str:
    """Increase a second."""
    return f"rate({selector}[{WINDOW}])"


def total(expr: str, *by: str) -> str:
    """Sum, over everything or by labels."""
    return f"sum by ({', '.join(by)}) ({expr})" if by else f"sum({expr})"


def share(part: str, whole: str) -> str:
    """`part` of `whole`, and 0 instead of nothing where `whole` is there but no part has happened yet."""
    return f"({part} or {whole} * 0) / {whole}"


def quantile(q: float, metric: str, *by: str, only: tuple[str, ...] = ()) -> str:
    """A quantile of one of the service's histograms."""
    buckets = total(rate(service(f"{metric}_bucket", *only)), "le", *by)
    return f"histogram_quantile({q:g}, {buckets})"


def mean(metric: str, *by: str) -> str:
    """The mean of one of the service's histograms."""
    return f"{total(rate(service(f'{metric}_sum')), *by)} / {total(rate(service(f'{metric}_count')), *by)}"


REQUESTS: Final = service("http_requests_total", USERS)
FAILED: Final = service("http_requests_total", USERS, 'status=~"5.."')


def error_ratio(*by: str) -> str:
    """Share of requests answered with a 5xx status."""
    return share(total(rate(FAILED), *by), total(rate(REQUESTS), *by))
