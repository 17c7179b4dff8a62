"""What `up` and `down` would do, found without doing it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infra.local import parts, preflight, supervision
from infra.local.layout import Layout
from infra.local.state import load


@dataclass(frozen=True, slots=True)
class PartIntent:
    """One binary that `up` would use."""

    part: str
    path: str
    """Empty when it is missing and `up` would do without it, or fetch it first."""
    version: str
    origin: str
    """`system`, `wheel`, `package` or `missing`."""


@dataclass(frozen=True, slots=True)
class UpIntent:
    """What `up` would start."""

    folder: Path
    runs: bool
    """The supervisor lives: `up` would start only what is missing."""
    first: bool
    """Nothing of an earlier start lies in the folder."""
    versions: dict[str, str]
    ports: dict[str, int]
    """Of an earlier start; empty before the first, when free ones are chosen."""
    parts: list[PartIntent]

    def lines(self) -> list[str]:
        """For a person, one thing a line."""
        begin = "It runs; what is missing would be started" if self.runs else "Would start the system"
        first = " for the first time, with a new admin key" if self.first else ""
        return [
            f"{begin} in {self.folder}{first}.",
            f"Service: {', '.join(f'{version} ({colour})' for colour, version in self.versions.items())}",
            f"Ports: {_named(self.ports) or 'free ones, remembered from then on'}",
            *(_used(part) for part in self.parts),
            "Nothing was started.",
        ]


@dataclass(frozen=True, slots=True)
class DownIntent:
    """What `down` would stop and, with `--purge`, remove."""

    folder: Path
    stops: dict[str, int]
    """Part → pid."""
    removes: bool
    bytes: int
    """That would be removed."""

    def lines(self) -> list[str]:
        """For a person, one thing a line."""
        stopped = [f"Would stop {part} (pid {pid})" for part, pid in self.stops.items()]
        removed = f"Would remove {self.folder} with {self.bytes / 1e6:.1f} MB of data, logs and configuration"
        kept = f"Everything in {self.folder} would stay"
        return [*(stopped or ["Nothing runs"]), removed if self.removes else kept, "Nothing was stopped."]


def of_up(place: Layout, version: str) -> UpIntent:
    """Raises `UserError` as `up` would: a missing part, a corrupt state file."""
    preflight.check_version(version)
    state = load(place)
    return UpIntent(
        folder=place.root,
        runs=supervision.alive(place),
        first=not state.complete,
        versions=dict(state.versions) or {"blue": version},
        ports=dict(state.ports),
        parts=[_part(part.name) for part in parts.PARTS],
    )


def of_down(place: Layout, purge: bool) -> DownIntent:
    """Raises `UserError` for a corrupt state file."""
    load(place)
    living = {name: one.pid for name, one in supervision.processes(place).items() if one.pid}
    return DownIntent(place.root, living, purge and place.root.exists(), _size(place.root) if purge else 0)


def _part(name: str) -> PartIntent:
    found = parts.find(name)
    if found is None:
        return PartIntent(name, "", "", "missing")
    return PartIntent(name, str(found.path), found.version, found.origin)


def _used(part: PartIntent) -> str:
    if part.path:
        return f"{part.part}: {part.version} ({part.origin}) {part.path}"
    return f"{part.part}: missing; fetched from the distribution's packages, else left out"


def _named(ports: dict[str, int]) -> str:
    return ", ".join(f"{name} {port}" for name, port in ports.items())


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() or path.is_symlink())
