"""What IAM decides about a request: the evaluation logic of its reference, as far as our policies use it.

An explicit deny wins; without an allow nothing is allowed; a condition whose key is missing from the request
does not match (IAM user guide, "Policy evaluation logic", "Condition operators"). An operator that is not
here is an error, never a silent pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

OPERATORS: Final[dict[str, Callable[[str, str], bool]]] = {
    "Bool": lambda found, wanted: found.lower() == wanted.lower(),
    "NumericLessThan": lambda found, wanted: float(found) < float(wanted),
    "StringEquals": lambda found, wanted: found == wanted,
}


def allowed(policy: Mapping[str, Any], action: str, resource: str, request: Mapping[str, str]) -> bool:
    """Whether `action` on `resource` is allowed under the condition keys of `request`."""
    effects = {one["Effect"] for one in policy["Statement"] if _matches(one, action, resource, request)}
    return "Deny" not in effects and "Allow" in effects


def _matches(one: Mapping[str, Any], action: str, resource: str, request: Mapping[str, str]) -> bool:
    named = any(fnmatchcase(action.lower(), each.lower()) for each in _list(one["Action"]))
    there = any(fnmatchcase(resource, each) for each in _list(one["Resource"]))
    conditions = [
        key in request and any(OPERATORS[operator](request[key], str(value)) for value in _list(wanted))
        for operator, keys in one.get("Condition", {}).items()
        for key, wanted in keys.items()
    ]
    return named and there and all(conditions)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
