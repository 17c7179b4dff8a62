"""How a resource is created in moto, and what AWS must say about it afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from infra.local.emulated_clients import Aws
from infra.stack.offline import Registration


@dataclass(frozen=True, slots=True)
class Made:
    """A created resource: its id and outputs, what it was declared to be, and how to ask for it."""

    identity: str
    outputs: dict[str, Any] = field(default_factory=dict)
    want: Any = None
    """In the words of the AWS API that `read` answers with; what is not here is not compared."""
    read: Callable[[], Any] | None = None


Kind = Callable[[Aws, Registration], Made]


def pascal(value: Any) -> Any:
    """Pulumi's `camelCase` keys in the `PascalCase` of most AWS APIs, all the way down."""
    if isinstance(value, Mapping):
        return {_title(key): pascal(item) for key, item in value.items()}
    return [pascal(item) for item in value] if isinstance(value, list) else value


def _title(key: str) -> str:
    return (key[:1].upper() + key[1:]).replace("Cloudwatch", "CloudWatch")


def pick(inputs: Mapping[str, Any], *keys: str, **renamed: str) -> dict[str, Any]:
    """The inputs `keys` in Pascal case, and `AwsName="input"`; what is not declared is left out."""
    found = {key[:1].upper() + key[1:]: pascal(inputs[key]) for key in keys if inputs.get(key) is not None}
    return found | {to: pascal(inputs[key]) for to, key in renamed.items() if inputs.get(key) is not None}


def differences(want: Any, got: Any, path: str = "") -> Iterator[str]:
    """Every leaf of `want` that `got` has otherwise; a list without objects is a set."""
    if isinstance(got, str) and isinstance(want, dict):
        got = json.loads(unquote(got))
    if isinstance(want, dict) and isinstance(got, Mapping):
        for key, item in want.items():
            yield from differences(item, got.get(key), f"{path}.{key}")
    elif isinstance(want, list) and isinstance(got, list) and want and isinstance(want[0], dict):
        if len(want) != len(got):
            yield f"{path}: {len(want)} declared, {len(got)} there"
        for index, (ours, theirs) in enumerate(zip(want, got, strict=False)):
            yield from differences(ours, theirs, f"{path}[{index}]")
    elif isinstance(want, list) and isinstance(got, list):
        if sorted(map(str, want)) != sorted(map(str, got)):
            yield f"{path}: declared {want}, there {got}"
    elif want != got and str(want) != str(got):
        yield f"{path}: declared {want!r}, there {got!r}"
