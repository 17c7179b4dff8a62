"""Where the page's numbers come from: Prometheus and Alertmanager over HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from infra.local.state import load

SECONDS: Final = 10.0
LARGEST: Final = 32 * 1024 * 1024
"""Bytes of one answer; more than any panel can draw."""

READABLE: Final = frozenset({"query", "query_range", "labels", "series"})
"""What of Prometheus' API the page may ask; nothing here changes anything."""


class Unreachable(Exception):
    """Why a source did not answer, in a few words."""


@dataclass(frozen=True, slots=True)
class Sources:
    """How to find both at this moment: their ports are known only once the system is up."""

    prometheus: Callable[[], str]
    alertmanager: Callable[[], str]


def local() -> Sources:
    """Those of this checkout's local system."""

    def at(part: str) -> Callable[[], str]:
        def url() -> str:
            port = load().ports.get(part)
            if port is None:
                raise Unreachable("the local system is not up")
            return f"http://127.0.0.1:{port}"

        return url

    return Sources(at("prometheus"), at("alertmanager"))


def fixed(prometheus: str, alertmanager: str) -> Sources:
    """Those at given URLs."""
    return Sources(lambda: prometheus, lambda: alertmanager)


def get(base: str, path: str) -> tuple[int, bytes]:
    """Status and body of a GET. Raises `Unreachable`."""
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)
    try:
        connection.request("GET", parts.path.rstrip("/") + path)
        answer = connection.getresponse()
        body = answer.read(LARGEST + 1)
    except (OSError, http.client.HTTPException) as failed:
        raise Unreachable(f"{parts.netloc} does not answer ({failed or type(failed).__name__})") from None
    finally:
        connection.close()
    if len(body) > LARGEST:
        raise Unreachable(f"{parts.netloc} answered with more than {LARGEST} bytes")
    return answer.status, body


def get_json(base: str, path: str) -> Any:
    """The decoded body of a 200 answer. Raises `Unreachable`."""
    status, body = get(base, path)
    try:
        if status != 200:
            raise ValueError(f"HTTP {status}")
        return json.loads(body)
    except ValueError as wrong:
        raise Unreachable(f"{base}{path.partition('?')[0]}: {wrong}") from None


def readable(path: str) -> bool:
    """Whether `path` below /api/v1/ is one the page may read."""
    words = path.split("/")
    return path in READABLE or (len(words) == 3 and words[0] == "label" and words[2] == "values")
