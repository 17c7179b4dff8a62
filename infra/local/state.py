"""`state.json`: what this checkout chose and must find again (ports, versions, what was provisioned)."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from infra.errors import UserError
from infra.local.layout import Layout, layout, write

SCHEMA: Final = 1


@dataclass(slots=True)
class State:
    """Contents of `state.json`."""

    ports: dict[str, int] = field(default_factory=dict)
    """Part → port; the same after every restart."""
    versions: dict[str, str] = field(default_factory=dict)
    """Colour → version, for the colours that run (or ran at the last `down`)."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Colour → slots it is meant to have, for colours that were scaled; the others have all of theirs."""
    provisioned: str = ""
    """Fingerprint of the program and configuration that `outputs.json` came from."""
    complete: bool = False
    """An `up` reached its end once: from here on a failure must not remove data."""
    schema: int = SCHEMA


def load(place: Layout | None = None) -> State:
    """Read the state; an absent file is an empty state. Raises `UserError` for a corrupt one."""
    path = (place or layout()).state
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return State()
    except ValueError as broken:
        raise _corrupt(str(path), f"it is no JSON ({broken})") from None
    except OSError as failed:
        raise UserError(
            f"{path} cannot be read ({failed.strerror}).", "Give this user access to it."
        ) from None
    return _checked(str(path), found)


def save(state: State, place: Layout | None = None) -> None:
    """Replace the file whole: a reader sees the old state or the new one."""
    write((place or layout()).state, json.dumps(asdict(state), indent=2) + "\n")


@contextmanager
def change(place: Layout | None = None) -> Iterator[State]:
    """Read, let the caller change, write; other processes of this checkout wait meanwhile."""
    place = place or layout()
    with (place.root / "state.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = load(place)
        yield state
        save(state, place)


def _checked(path: str, found: Any) -> State:
    if not isinstance(found, dict):
        raise _corrupt(path, "it is no JSON object")
    if found.get("schema") != SCHEMA:
        raise _corrupt(path, f"its schema is {found.get('schema')!r}, this checkout reads {SCHEMA}")
    try:
        state = State(**found)
    except TypeError:
        raise _corrupt(path, "it has keys that this checkout does not know") from None
    ports, versions = state.ports, state.versions
    if not isinstance(ports, dict) or not all(isinstance(port, int) for port in ports.values()):
        raise _corrupt(path, "its ports are no numbers")
    if not isinstance(versions, dict) or not all(isinstance(label, str) for label in versions.values()):
        raise _corrupt(path, "its versions are no text")
    if not isinstance(state.sizes, dict) or not all(isinstance(size, int) for size in state.sizes.values()):
        raise _corrupt(path, "its sizes are no numbers")
    return state


def _corrupt(path: str, why: str) -> UserError:
    return UserError(
        f"{path} cannot be used: {why}.",
        "Restore it from a copy, or start afresh with `superagent down --purge` (removes the local data).",
    )
