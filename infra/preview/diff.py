"""The difference of two recorded revisions: pure, and in the words of a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from infra.policy.data import STATEFUL
from infra.policy.model import Resource
from infra.preview.estate import Recorded
from infra.preview.replacements import REPLACES

Kind = Literal["create", "update", "replace", "delete"]
KINDS: Final[tuple[Kind, ...]] = ("replace", "delete", "update", "create")
ABSENT: Final = "–"
HIDDEN: Final = "[secret]"


@dataclass(frozen=True, slots=True)
class Property:
    """One changed input."""

    path: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one resource."""

    kind: Kind
    urn: str
    type: str
    name: str
    component: str
    stateful: bool
    properties: tuple[Property, ...] = ()
    reason: str = ""
    """For a replacement: which input, or which renaming, causes it."""

    @property
    def dangerous(self) -> bool:
        """Whether data, or the address that clients know, would be lost."""
        return self.stateful and self.kind in ("replace", "delete")


@dataclass(slots=True)
class Difference:
    changes: list[Change] = field(default_factory=list)

    def count(self, kind: Kind) -> int:
        return sum(change.kind == kind for change in self.changes)

    @property
    def dangerous(self) -> list[Change]:
        return [change for change in self.changes if change.dangerous]


def difference(old: Recorded, new: Recorded) -> Difference:
    """Every change from `old` to `new`: dangerous ones first, then by component and name.

    Inputs that a resource ignores are no change, as in Pulumi. A stateful resource that vanishes under one
    name and appears under another with otherwise equal inputs is one replacement, a renaming; unless it
    carries an alias, which keeps it.
    """
    changes = [
        change
        for urn in old.resources.keys() & new.resources.keys()
        if (change := _changed(old.resources[urn], new.resources[urn], new))
    ]
    gone = {urn: old.resources[urn] for urn in old.resources.keys() - new.resources.keys()}
    fresh = {urn: new.resources[urn] for urn in new.resources.keys() - old.resources.keys()}
    for was, now in _aliased(gone, fresh, new):
        if was.urn not in gone or now.urn not in fresh:
            continue  # an alias in part may fit several: the first is it
        del gone[was.urn], fresh[now.urn]
        changed = _changed(was, now, new)
        changes += [changed] if changed else []
    for was, now in list(_renamed(gone, fresh)):
        del gone[was.urn], fresh[now.urn]
        reason = (
            f"renamed from {was.name}; an alias keeps it"
            if was.name != now.name
            else "moved; an alias keeps it"
        )
        changes.append(_change("replace", now, new, reason=reason))
    changes += [_change("delete", one, old) for one in gone.values()]
    changes += [_change("create", one, new) for one in fresh.values()]
    order = {kind: at for at, kind in enumerate(KINDS)}
    return Difference(
        sorted(changes, key=lambda one: (not one.dangerous, order[one.kind], one.component, one.urn))
    )


def _changed(old: Resource, new: Resource, where: Recorded) -> Change | None:
    found = tuple(
        one for one in properties(old.inputs, new.inputs) if not _ignored(one.path, new.ignore_changes)
    )
    if not found:
        return None
    hidden = tuple(
        Property(one.path, HIDDEN, HIDDEN) if _secret(one.path, old, new) else one for one in found
    )
    causes = sorted(
        {one.path.split(".")[0].split("[")[0] for one in found} & REPLACES.get(new.type, frozenset())
    )
    if causes:
        return _change("replace", new, where, hidden, f"{', '.join(causes)} cannot change in place")
    return _change("update", new, where, hidden)


def _change(
    kind: Kind, one: Resource, where: Recorded, found: tuple[Property, ...] = (), reason: str = ""
) -> Change:
    return Change(
        kind=kind,
        urn=one.urn,
        type=one.type,
        name=one.name,
        component=where.component(one.urn),
        stateful=one.type in STATEFUL,
        properties=found,
        reason=reason,
    )


def _aliased(
    gone: Mapping[str, Resource], fresh: Mapping[str, Resource], new: Recorded
) -> list[tuple[Resource, Resource]]:
    """Pairs that an alias declares to be the same resource; an alias is a URN, or `type::name` in part."""
    pairs = []
    for urn, now in fresh.items():
        for alias in new.aliases.get(urn, ()):
            kind, _, name = alias.rpartition("::")
            for was in gone.values():
                partly = was.name == (name or now.name) and was.type == (kind or now.type)
                if was.urn == alias or partly:
                    pairs.append((was, now))
    return pairs


def _renamed(
    gone: Mapping[str, Resource], fresh: Mapping[str, Resource]
) -> Iterator[tuple[Resource, Resource]]:
    """Stateful pairs that are one thing under two names."""
    free = dict(fresh)
    for was in gone.values():
        if was.type not in STATEFUL:
            continue
        for urn, now in free.items():
            same_name = now.name == was.name
            if now.type == was.type and (same_name or _alike(was.inputs, now.inputs)):
                del free[urn]
                yield was, now
                break


def _alike(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Equal but for names and tags."""
    ignored = {"name", "bucket", "identifier", "replicationGroupId", "alias", "description", "tags"}
    return {key: value for key, value in old.items() if key not in ignored} == {
        key: value for key, value in new.items() if key not in ignored
    }


def _ignored(path: str, ignored: tuple[str, ...] | list[str] | Any) -> bool:
    return any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in ignored)


def _secret(path: str, *resources: Resource) -> bool:
    slashed = "/" + path.replace("[", ".").replace("]", "").replace(".", "/")
    return any(
        slashed == secret or slashed.startswith(f"{secret}/") for one in resources for secret in one.secrets
    )


def properties(old: Any, new: Any, path: str = "") -> Iterator[Property]:
    """Leaves that differ, with their path (`a.b[0]`)."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            below = f"{path}.{key}" if path else key
            yield from properties(old.get(key, ABSENT), new.get(key, ABSENT), below)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            was = old[index] if index < len(old) else ABSENT
            now = new[index] if index < len(new) else ABSENT
            yield from properties(was, now, f"{path}[{index}]")
    elif old != new:
        yield Property(path, old, new)
