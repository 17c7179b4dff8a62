"""Metrics straight from the instances' `/metrics`: what `local` judges by, fresh and without a store."""

from __future__ import annotations

import http.client
import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from infra.release import sample
from infra.release.sample import Sample
from infra.stack.outputs import Colour

KEPT: Final = 4_000
"""Snapshots of a colour kept in memory: over half an hour at the shortest interval."""
_API = re.compile(sample.API_PATHS)
_BROKEN = re.compile(sample.BROKEN_CALLS)
Counters = Mapping[tuple[str, float], float]
"""(field of `Sample`, histogram edge or 0) -> counter."""


def fetch(url: str, timeout: float = 2.0) -> str | None:
    """The text of a metrics page; `None` when the instance does not answer with 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request("GET", parts.path or "/metrics")
        answer = connection.getresponse()
        body = answer.read().decode()
        return body if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def counters(text: str) -> Counters:
    """The counters of one instance that releases are judged by."""
    found: dict[tuple[str, float], float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for point in family.samples:
            labels, value = point.labels, point.value
            if point.name == sample.REQUESTS and _API.fullmatch(labels.get("path", "")):
                found["requests", 0.0] += value
                if labels.get("status", "").startswith("5"):
                    found["errors", 0.0] += value
            elif point.name == sample.DURATION and _is_traffic(labels):
                found["duration", _edge(labels)] += value
            elif point.name == sample.TTFT:
                found["ttft", _edge(labels)] += value
            elif point.name == sample.PROVIDER_CALLS:
                found["provider_calls", 0.0] += value
                if _BROKEN.fullmatch(labels.get("status", "")):
                    found["broken_streams", 0.0] += value
            elif point.name == sample.COST:
                found["cost_usd", 0.0] += value
            elif point.name == sample.CPU:
                found["cpu", 0.0] += value
    return found


def gauge(text: str, name: str) -> float | None:
    """Sum of a gauge over its labels; `None` when the page lacks it."""
    values = [
        point.value
        for family in text_string_to_metric_families(text)
        for point in family.samples
        if point.name == name
    ]
    return sum(values) if values else None


@dataclass(slots=True)
class ScrapeSource:
    """Keeps snapshots of every instance and answers with the increase between two of them."""

    urls: Callable[[Colour], list[str]]
    interval: float = 0.25
    _snapshots: dict[Colour, list[tuple[float, dict[str, Counters]]]] = field(
        default_factory=lambda: {"blue": [], "green": []}
    )

    def window(self, colour: Colour, since: float, now: float) -> Sample | None:
        """Increase since the first snapshot at or after `since`; a restarted instance counts from zero."""
        pages = {url: fetch(url) for url in self.urls(colour)}
        snapshot = {url: counters(page) for url, page in pages.items() if page is not None}
        kept = self._snapshots[colour]
        if snapshot:
            kept.append((now, snapshot))
            del kept[:-KEPT]
        stretch = [(at, found) for at, found in kept if at >= since]
        if not stretch:
            return None
        increase: dict[tuple[str, float], float] = defaultdict(float)
        for (_, before), (_, after) in pairwise(stretch):
            for url, found in after.items():
                for key, value in found.items():
                    start = before.get(url, {}).get(key, 0.0 if url in before else value)
                    increase[key] += value - start if value >= start else value
        return _as_sample(increase, stretch[-1][0] - stretch[0][0], len(snapshot))


def _as_sample(increase: Mapping[tuple[str, float], float], seconds: float, instances: int) -> Sample:
    def one(name: str) -> float:
        return increase.get((name, 0.0), 0.0)

    def buckets(name: str) -> dict[float, float]:
        return {edge: value for (field_name, edge), value in increase.items() if field_name == name}

    cpu = one("cpu") / seconds / instances if seconds >= 1 and instances else None
    return Sample(
        requests=one("requests"),
        errors=one("errors"),
        duration=buckets("duration"),
        ttft=buckets("ttft"),
        provider_calls=one("provider_calls"),
        broken_streams=one("broken_streams"),
        cost_usd=one("cost_usd"),
        cpu_seconds=one("cpu"),
        cpu_per_instance=cpu,
        seconds=seconds,
    )


def _is_traffic(labels: Mapping[str, str]) -> bool:
    path = labels.get("path", "")
    return path != sample.CHEAP_PATH and _API.fullmatch(path) is not None


def _edge(labels: Mapping[str, str]) -> float:
    text = labels.get("le", "")
    return math.inf if text == "+Inf" else float(text)
