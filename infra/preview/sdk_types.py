"""Whether recorded inputs are what the SDK's types say: Pulumi's test monitor takes a misspelled key happily.

The SDK's own input classes are the schema: names of nested keys, and the kind of every value.
"""

from __future__ import annotations

import importlib
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pulumi import _types

from infra.stack.offline import Registration

PACKAGES: Final = {"aws": "pulumi_aws", "kubernetes": "pulumi_kubernetes"}
PLAIN: Final[dict[type, tuple[type, ...]]] = {
    str: (str,),
    bool: (bool,),
    int: (int,),
    float: (int, float),
}


def arguments(token: str) -> type | None:
    """The SDK's argument class of a resource type; None for types that have none here (charts, CRDs)."""
    package, module, name = token.split(":")
    if package not in PACKAGES:
        return None
    parts = module.split("/")
    if package == "aws":
        path = f"{PACKAGES[package]}.{parts[0]}.{_snake(name)}"
    else:
        group = parts[0].split(".")[0]
        path = ".".join([PACKAGES[package], group, *parts[1:], name])
    try:
        loaded = importlib.import_module(path)
    except ModuleNotFoundError:
        return None
    return getattr(loaded, f"{name}InitArgs", None) or getattr(loaded, f"{name}Args", None)


def _snake(name: str) -> str:
    """`WebAclAssociation` as the SDK's file is called: `web_acl_association`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def mismatches(one: Registration) -> list[str]:
    """Every input that the SDK's types do not know, or know as something else."""
    expected = arguments(one.type) if one.custom else None
    if expected is None:
        return []
    return list(_object(one.inputs, expected, ""))


def _object(value: Mapping[str, Any], expected: type, path: str) -> Iterator[str]:
    known = _types.input_type_types(expected)
    for key, item in value.items():
        below = f"{path}.{key}" if path else key
        if key not in known:
            yield f"{below} is no input of {expected.__name__.removesuffix('Args')}"
        elif item is not None:
            yield from _value(item, known[key], below)


def _value(value: Any, expected: Any, path: str) -> Iterator[str]:
    expected = _types.unwrap_type(expected)
    origin = typing.get_origin(expected)
    if origin in (Sequence, list):
        if not isinstance(value, list):
            yield f"{path} is {type(value).__name__}, not a list"
            return
        (member,) = typing.get_args(expected)
        for index, item in enumerate(value):
            yield from _value(item, member, f"{path}[{index}]")
    elif isinstance(expected, type) and _types.is_input_type(expected):
        if not isinstance(value, Mapping):
            yield f"{path} is {type(value).__name__}, not an object"
            return
        yield from _object(value, expected, path)
    elif expected in PLAIN and not _fits(value, expected):
        yield f"{path} is {type(value).__name__} {value!r:.40}, not {expected.__name__}"


def _fits(value: Any, expected: type) -> bool:
    if isinstance(value, bool):
        return expected is bool
    return isinstance(value, PLAIN[expected])
