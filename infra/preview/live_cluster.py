"""What the cluster says of the objects that are declared in it: every declared value, wherever it stands.

The API server adds defaults, so only what the declaration says is compared. A value that is AWS's to give (an
ARN, an address) was made up by the recorder; it is named instead of compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from infra.policy.model import Resource
from infra.preview.answers import invented
from infra.preview.drift import Classified, gone, judge, not_compared

TYPES: Final = "kubernetes:"
PLURALS: Final[Mapping[str, str]] = {
    "Namespace": "namespaces",
    "ServiceAccount": "serviceaccounts",
    "ConfigMap": "configmaps",
    "Service": "services",
    "Deployment": "deployments",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "NetworkPolicy": "networkpolicies",
    "CronJob": "cronjobs",
    "TargetGroupBinding": "targetgroupbindings",
}
"""Kinds as the API spells them in a path; a kind that is not here is not an object (a chart, a provider)."""
Get = Callable[[str], Mapping[str, Any] | None]
Spot = tuple[str | int, ...]


def path(one: Resource) -> str | None:
    """Where the API server keeps an object; `None` for what is no object of it."""
    kind, version = str(one.at("kind", "")), str(one.at("apiVersion", ""))
    if kind not in PLURALS:
        return None
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    name, namespace = one.at("metadata.name"), one.at("metadata.namespace")
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{inside}/{PLURALS[kind]}/{name}"


def differences(one: Resource, where: str, get: Get) -> Iterator[Classified]:
    """Every declared value that the object does not have, and every one that could not be compared."""
    found = get(where)
    if found is None:
        yield gone(one.urn, one.type)
        return
    for spot, declared in leaves(one.inputs):
        now = _at(found, spot)
        if isinstance(declared, str) and invented(declared):
            yield not_compared(one.urn, one.type, dotted(spot), "its value is AWS's to give")
        elif declared != now and str(declared) != str(now):
            yield judge(one.urn, one.type, dotted(spot), f"{_short(declared)} → {_short(now)}")


def leaves(value: Any, spot: Spot = ()) -> Iterator[tuple[Spot, Any]]:
    """Every plain value of a manifest with its place."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from leaves(below, (*spot, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from leaves(below, (*spot, index))
    elif value is not None:
        yield spot, value


def dotted(spot: Spot) -> str:
    """`spec.containers[0].image`, as Pulumi writes it."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in spot)
    return text.removeprefix(".")


def _at(value: Any, spot: Spot) -> Any:
    try:
        for part in spot:
            value = value[part]
    except (KeyError, IndexError, TypeError):
        return None
    return value


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:59] + "…"
