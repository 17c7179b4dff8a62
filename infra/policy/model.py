"""What a rule sees and says: a resource, an estate, a finding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PROTECTED = ("staging", "prod")
"""Environments whose data must survive a wrong command."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource with its resolved inputs; unknown values are absent."""

    type: str
    name: str
    urn: str
    inputs: Mapping[str, Any]
    secrets: Sequence[str] = ()
    """Paths of inputs that are marked secret, such as `/authToken`."""
    protect: bool = False
    ignore_changes: Sequence[str] = ()

    def at(self, path: str, default: Any = None) -> Any:
        """Value at a dotted path; `default` when a part is missing."""
        value: Any = self.inputs
        for part in path.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return default
            value = value[part]
        return value


@dataclass(frozen=True, slots=True)
class Estate:
    """All resources of one stack, and the environment it is."""

    environment: str
    resources: Sequence[Resource]

    @property
    def protected(self) -> bool:
        return self.environment in PROTECTED

    def of(self, *types: str) -> Iterator[Resource]:
        """Resources whose type is one of `types`."""
        return (one for one in self.resources if one.type in types)


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a resource breaks: what is wrong and what to do."""

    rule: str
    urn: str
    message: str


Complaint = tuple[Resource, str]
Check = Callable[[Estate], Iterable[Complaint]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A named check; `description` is what CrossGuard and the documentation show."""

    name: str
    description: str
    check: Check
    local: bool = False
    """Whether it also holds for the local stack, which has neither TLS nor customer keys."""


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf below `value` with its path (`/a/0/b`)."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from walk(item, f"{path}/{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from walk(item, f"{path}/{index}")
    else:
        yield path, value
