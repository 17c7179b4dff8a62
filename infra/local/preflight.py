"""What must be right before anything starts: settings, folder, state, parts, ports."""

from __future__ import annotations

import difflib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from infra.errors import UserError
from infra.local import parts, ports, postgres
from infra.local.layout import Layout, write
from infra.local.slots import PASSED_ON
from infra.local.state import State

SETTINGS: Final = ("SUPERAGENT_HOME", "SUPERAGENT_ALERT_WEBHOOK", *PASSED_ON)
"""Every `SUPERAGENT_` variable that the command line knows."""
VERSION: Final = re.compile(r"[\w.+-]{1,64}", re.ASCII)


def check_settings(environment: Mapping[str, str]) -> None:
    """Refuse a `SUPERAGENT_` variable that would be ignored: it is a typing error or meant for elsewhere."""
    for name in environment:
        if name.startswith("SUPERAGENT_") and name not in SETTINGS:
            close = difflib.get_close_matches(name, SETTINGS, n=1)
            hint = (
                f"Did you mean {close[0]}?"
                if close
                else "Unset it; docs/reference/settings.md lists the service's."
            )
            raise UserError(f"The setting {name} does not exist.", hint)
    file = environment.get("SUPERAGENT_PROVIDERS_FILE")
    if file and not Path(file).is_file():
        raise UserError(f"SUPERAGENT_PROVIDERS_FILE is {file!r}, which is no file.", "Correct or unset it.")


def check_version(version: str) -> None:
    """A version is a header's value and an image tag: refuse what could not be one."""
    if not VERSION.fullmatch(version):
        raise UserError(
            f"--version is {version!r}; it may have 1 to 64 letters, digits, dots, plus, minus, underscores.",
            "Name it like v2 or 1.4.0-rc1.",
        )


@contextmanager
def exclusive(place: Layout) -> Iterator[None]:
    """Hold this checkout's lock; make its folders first. Raises `UserError` when another command holds it."""
    with folders(place), place.lock.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"Another `superagent up` or `down` works on {place.root}.", "Wait until it has ended."
            ) from None
        yield


@contextmanager
def folders(place: Layout) -> Iterator[None]:
    """The state folder exists and can be written; one that was made here and stayed unused goes again."""
    existed = place.root.exists()
    try:
        place.make()
        probe = place.root / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as failed:
        if not existed:
            shutil.rmtree(place.root, ignore_errors=True)
        raise UserError(
            f"The state folder {place.root} cannot be written ({failed.strerror}: {failed.filename}).",
            "Give this user write access, or set SUPERAGENT_HOME to another folder.",
        ) from None
    try:
        yield
    finally:
        if not existed and not place.state.exists() and not any(place.logs.glob("*")):
            remove(place, keep_logs=False)


def remove(place: Layout, keep_logs: bool) -> None:
    """Delete what lies in the state folder, the folder itself, and the runtime folder."""
    registration(place).unlink(missing_ok=True)
    shutil.rmtree(place.runtime, ignore_errors=True)
    if not place.root.exists():
        return
    for entry in place.root.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            if entry != place.logs or not keep_logs:
                shutil.rmtree(entry)
        else:
            entry.unlink()
    if not keep_logs:
        place.root.rmdir()


def check_parts(place: Layout) -> None:
    """Every required binary is here and Postgres can run as this user. Raises `UserError`."""
    for part in parts.PARTS:
        if not part.optional:
            parts.find(part.name)
    postgres.identity(place)


def choose_ports(place: Layout, state: State, asked: dict[str, int]) -> dict[str, int]:
    """Ports for this checkout, and a note for the others of this user about them."""
    folder = registration(place).parent
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        chosen = ports.choose(state.ports, _claimed(place), asked)
        write(registration(place), f"{place.root}\n{' '.join(map(str, chosen.values()))}\n")
    return chosen


def check_moved(asked: dict[str, int], current: dict[str, int]) -> None:
    """Refuse to move a port of a running system: its clients would lose it."""
    for name, port in asked.items():
        if current[name] != port:
            raise UserError(
                f"The system runs already, with {name} on port {current[name]}, not {port}.",
                "Run `superagent down` first.",
            )


def registration(place: Layout) -> Path:
    """This checkout's note in the user's cache."""
    name = hashlib.sha256(os.fsencode(place.root)).hexdigest()[:16]
    return parts.cache_folder().parent / "checkouts" / name


def _claimed(place: Layout) -> set[int]:
    """Ports of other checkouts, also of those that are down; a removed checkout claims nothing."""
    claimed: set[int] = set()
    for note in registration(place).parent.glob("[0-9a-f]*"):
        if note == registration(place):
            continue
        root, _, numbers = note.read_text().partition("\n")
        if Path(root).exists():
            claimed |= {int(number) for number in numbers.split()}
        else:
            note.unlink(missing_ok=True)
    return claimed
