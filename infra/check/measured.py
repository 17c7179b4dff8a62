"""Facts from Prometheus: what is scraped, and which alerts fire."""

from __future__ import annotations

import time

from infra.release.source_prometheus import Prometheus

LIMITER = "superagent_rate_limited_total"


def targets(store: Prometheus, environment: str) -> dict[str, tuple[int, int]]:
    """Scrape job → targets that are up, all of them."""
    found: dict[str, tuple[int, int]] = {}
    for one in store.query(f'up{{environment="{environment}"}}', time.time()):
        job = str(one["metric"].get("job", "?"))
        up, whole = found.get(job, (0, 0))
        found[job] = (up + int(float(one["value"][1])), whole + 1)
    return found


def limiter(store: Prometheus, environment: str) -> bool:
    """Whether the service's limiter reports; its series exist from the start, at zero."""
    return bool(store.query(f'count({LIMITER}{{environment="{environment}"}})', time.time())) or bool(
        store.query(f"count({LIMITER})", time.time())
    )


def firing(store: Prometheus, environment: str, severity: str) -> tuple[str, ...]:
    """Names of the alerts of that severity that fire for this environment."""
    labels = f'alertstate="firing",severity="{severity}",environment=~"{environment}|"'
    found = store.query(f"count by (alertname) (ALERTS{{{labels}}})", time.time())
    return tuple(sorted(str(one["metric"]["alertname"]) for one in found))


def watchdog(store: Prometheus) -> bool:
    """Whether the alert that always fires does."""
    return bool(store.query('ALERTS{alertname="Watchdog",alertstate="firing"}', time.time()))
