"""The API's own schemas: what fits them, and how a patch merges by them (lists by their merge keys)."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any, Final

import jsonschema
from kubernetes_validate.utils import all_versions, schema_contents
from referencing import Registry, Resource

from infra.stack.settings import Settings

VERSION: Final = str(Settings.model_fields["eks_version"].default)
DEFINITIONS: Final = {
    "Deployment": "io.k8s.api.apps.v1.Deployment",
    "HorizontalPodAutoscaler": "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    "Scale": "io.k8s.api.autoscaling.v1.Scale",
    "Job": "io.k8s.api.batch.v1.Job",
    "Pod": "io.k8s.api.core.v1.Pod",
    "PodList": "io.k8s.api.core.v1.PodList",
    "Status": "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
    "DeleteOptions": "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
}
MERGE_KEY: Final = "x-kubernetes-patch-merge-key"


@cache
def _document() -> dict[str, Any]:
    newest = next(one for one in reversed(all_versions()) if one.startswith(VERSION))
    path = f"kubernetes-json-schema/v{newest}-local-strict/_definitions.json"
    found: dict[str, Any] = schema_contents(path, newest)
    return found


@cache
def _validator(kind: str) -> jsonschema.Draft202012Validator:
    registry = Registry().with_resource("definitions", Resource.from_contents(_document()))
    reference = {"$ref": f"definitions#/$defs/{DEFINITIONS[kind]}"}
    return jsonschema.Draft202012Validator(reference, registry=registry)


def problems(kind: str, found: Any) -> list[str]:
    """Where an object breaks the strict schema of its kind: unknown fields, wrong types, missing ones."""
    errors = sorted(_validator(kind).iter_errors(found), key=lambda one: list(map(str, one.path)))
    return [f"{'.'.join(map(str, error.path)) or kind}: {error.message[:200]}" for error in errors]


def partial_problems(kind: str, patch: Any) -> list[str]:
    """The same for a patch, in which required fields may be missing."""
    return [one for one in problems(kind, patch) if "is a required property" not in one]


def strategic_merge(kind: str, target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """`patch` merged into a copy of `target` as the API server does for kinds it was built with."""
    merged: dict[str, Any] = _merge(_definition(DEFINITIONS[kind]), copy.deepcopy(target), patch)
    return merged


def json_merge(target: Any, patch: Any) -> Any:
    """RFC 7386: lists are replaced."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = json_merge(merged.get(key), value)
    return merged


def _definition(name: str) -> dict[str, Any]:
    found: dict[str, Any] = _document()["$defs"][name]
    return found


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return {**_definition(reference.rpartition("/")[2]), **schema} if reference else schema


def _merge(schema: dict[str, Any], target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    if strange := [key for key in patch if key.startswith("$")]:
        raise ValueError(f"this server does not know the directive {strange[0]}")
    for key, value in patch.items():
        field = _resolved(schema.get("properties", {}).get(key, {}))
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            target[key] = _merge(field, target[key], value)
        elif isinstance(value, list) and MERGE_KEY in field and target.get(key):
            target[key] = _merge_list(field, target[key], value)
        else:
            target[key] = copy.deepcopy(value)
    return target


def _merge_list(field: dict[str, Any], target: list[Any], patch: list[Any]) -> list[Any]:
    """Known items change where they stand, new ones come first, as the API server orders them."""
    key, items = field[MERGE_KEY], _resolved(field["items"])
    known = {one[key]: one for one in target}
    new = [copy.deepcopy(one) for one in patch if one[key] not in known]
    for one in patch:
        if one[key] in known:
            _merge(items, known[one[key]], one)
    return [*new, *target]
