"""Where the time of a model request goes: to its provider, or to waiting for the process itself."""

from __future__ import annotations

from dataclasses import dataclass

from infra.advise.observed import Observed


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds of a model request outside of providers, their share of it, and how often its CPU time."""

    own: float
    share: float
    factor: float


def own_time(seen: Observed) -> Waits | None:
    endpoints = seen.model_endpoints()
    requests, total = sum(one.requests for one in endpoints), sum(one.seconds for one in endpoints)
    if not requests or not total:
        return None
    own = max(0.0, total - sum(one.seconds for one in seen.providers))
    cpu = sum(one.cpu for one in seen.running) * seen.covered
    per_request = cpu / max(requests, seen.requests)
    return Waits(own / requests, own / total, own / requests / per_request if per_request else 0.0)


def provider_share(seen: Observed) -> float:
    """Part of the model requests' time that is spent at providers; 0 without any."""
    waits = own_time(seen)
    return 1.0 - waits.share if waits is not None else 0.0
