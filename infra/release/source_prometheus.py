"""Metrics from Prometheus or Amazon Managed Prometheus, by instant queries; AMP's are signed (SigV4).

Scraped samples carry `environment` and `colour` as target labels (infra/stack/bootstrap.py).
"""

from __future__ import annotations

import http.client
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import urlencode, urlsplit

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from infra.errors import UserError
from infra.release import sample
from infra.release.sample import Sample
from infra.stack.outputs import Colour

ATTEMPTS: Final = 4
PASSING: Final = frozenset({429, 500, 502, 503, 504})
SHORTEST: Final = 60.0
"""Seconds: with a scrape every 15 s a shorter range may lack the two samples that `increase` needs."""


class StoreDown(Exception):
    """The store did not answer a query; the message says how."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A query endpoint; with `region` every request is signed for AMP."""

    url: str
    region: str | None = None
    sleep: Callable[[float], None] = field(default=time.sleep)

    def query(self, expression: str, at: float) -> list[dict[str, Any]]:
        """The vector of an instant query. Raises `StoreDown` after retries, `UserError` for a refused one."""
        why = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                self.sleep(min(4.0, 0.25 * 2**attempt))
            try:
                status, body = self._post(urlencode({"query": expression, "time": f"{at:.3f}"}))
            except (OSError, http.client.HTTPException) as failed:
                why = f"{type(failed).__name__}: {failed}"
                continue
            if status == 200:
                try:
                    found: list[dict[str, Any]] = json.loads(body)["data"]["result"]
                except (ValueError, KeyError, TypeError):
                    why = "it answered with other than a vector"
                    continue
                return found
            why = f"it answered {status}"
            if status not in PASSING:
                text = body[:200].decode(errors="replace")
                raise UserError(
                    f"The metric store {self.url} refused a query: {status} {text}",
                    "Check its URL and this identity's right aps:QueryMetrics.",
                )
        raise StoreDown(f"{self.url}: {why}")

    def _post(self, body: str) -> tuple[int, bytes]:
        parts = urlsplit(self.url)
        path = f"{parts.path.rstrip('/')}/api/v1/query"
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if self.region:
            headers = _signed(f"{parts.scheme}://{parts.netloc}{path}", body, headers, self.region)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=10)
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _signed(url: str, body: str, headers: dict[str, str], region: str) -> dict[str, str]:
    credentials = boto3.Session().get_credentials()
    if credentials is None:
        raise UserError("There are no AWS credentials to query metrics with.", "Log in, then try again.")
    request = AWSRequest(method="POST", url=url, data=body, headers=headers)
    SigV4Auth(credentials.get_frozen_credentials(), "aps", region).add_auth(request)
    return dict(request.headers.items())


class Store(Protocol):
    """What answers instant queries."""

    def query(self, expression: str, at: float) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class PrometheusSource:
    """Samples of a colour by range increases that end now."""

    store: Store
    environment: str
    interval: float = 15.0

    def window(self, colour: Colour, since: float, now: float) -> Sample | None:
        """`None` when the store is down or has no request series of this colour."""
        seconds = f"{max(SHORTEST, now - since):.0f}s"
        labels = f'environment="{self.environment}",colour="{colour}"'
        api = f'{labels},path=~"{sample.API_PATHS}"'

        def total(metric: str, matchers: str) -> float | None:
            return self._one(f"sum(increase({metric}{{{matchers}}}[{seconds}]))", now)

        try:
            requests = total(sample.REQUESTS, api)
            if requests is None:
                return None
            return Sample(
                requests=requests,
                errors=total(sample.REQUESTS, f'{api},status=~"5.."') or 0.0,
                duration=self._buckets(sample.DURATION, f'{api},path!="{sample.CHEAP_PATH}"', seconds, now),
                ttft=self._buckets(sample.TTFT, labels, seconds, now),
                provider_calls=total(sample.PROVIDER_CALLS, labels) or 0.0,
                broken_streams=total(sample.PROVIDER_CALLS, f'{labels},status=~"{sample.BROKEN_CALLS}"')
                or 0.0,
                cost_usd=total(sample.COST, labels) or 0.0,
                cpu_seconds=total(sample.CPU, labels) or 0.0,
                cpu_per_instance=self._one(f"avg(rate({sample.CPU}{{{labels}}}[{seconds}]))", now),
            )
        except StoreDown:
            return None

    def in_flight(self, colour: Colour) -> int | None:
        """Open requests of a colour as they were scraped last; `None` when the store does not say."""
        labels = f'environment="{self.environment}",colour="{colour}"'
        try:
            found = self._one(f"sum({sample.IN_FLIGHT}{{{labels}}})", time.time())
        except StoreDown:
            return None
        return None if found is None else int(found)

    def _one(self, expression: str, now: float) -> float | None:
        vector = self.store.query(expression, now)
        value = float(vector[0]["value"][1]) if vector else math.nan
        return None if math.isnan(value) else value

    def _buckets(self, metric: str, matchers: str, seconds: str, now: float) -> dict[float, float]:
        vector = self.store.query(f"sum by (le) (increase({metric}{{{matchers}}}[{seconds}]))", now)
        return {float(one["metric"]["le"].replace("+Inf", "inf")): float(one["value"][1]) for one in vector}
