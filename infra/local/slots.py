"""The service's processes on this machine: two slots a colour, each with a loopback address of its own.

A load balancer knows its targets by address, so every slot has one, with the same port on each.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import Final

from infra.errors import UserError
from infra.home import CHECKOUT
from infra.local import supervision
from infra.local.layout import Layout, layout, write
from infra.local.programs import Program
from infra.local.state import State, change, load
from infra.stack import service_settings
from infra.stack.outputs import COLOURS, Colour
from infra.stack.service_environment import PREFIX

ADDRESSES: Final[dict[Colour, tuple[str, ...]]] = {
    "blue": ("127.0.0.11", "127.0.0.12"),
    "green": ("127.0.0.21", "127.0.0.22"),
}
DRAIN_SECONDS: Final = 30
STOP_SECONDS: Final = DRAIN_SECONDS + 10
PASSED_ON: Final = (
    "SUPERAGENT_PROVIDERS_FILE",
    *(f"{PREFIX}{name.upper()}" for name in service_settings.free()),
)
"""Settings of the caller that reach the service."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One service process: its part's name, its colour and its sockets."""

    name: str
    colour: Colour
    host: str
    port: int
    metrics_port: int


def slots(colour: Colour, place: Layout | None = None) -> list[Slot]:
    """The slots that a colour is meant to have, whether they run or not.

    Raises `UserError` before the first `up`.
    """
    return every(colour, place)[: size(colour, load(place))]


def size(colour: Colour, state: State) -> int:
    """How many slots a colour is meant to have: all of its own, unless it was scaled."""
    return state.sizes.get(colour, len(ADDRESSES[colour]))


def every(colour: Colour, place: Layout | None = None) -> list[Slot]:
    """The slots that a colour can have at most. Raises `UserError` before the first `up`."""
    ports = load(place).ports
    try:
        port, metrics_port = ports["service"], ports["service_metrics"]
    except KeyError:
        raise UserError("The local system is not up.", "Start it with `superagent up`.") from None
    return [
        Slot(f"{colour}-{number}", colour, host, port, metrics_port)
        for number, host in enumerate(ADDRESSES[colour], start=1)
    ]


def start_colour(colour: Colour, version: str, place: Layout | None = None) -> None:
    """Start the slots of a colour with `version` and wait until the processes run.

    Slots that run another version are replaced; same version and settings: nothing happens. It neither
    waits for health nor registers targets. Raises `OperationFailed` when a process does not stay up.
    """
    place = place or layout()
    known = every(colour, place)  # also those that only a later `resize` starts: with these settings
    for slot in known:
        (place.data / "journal" / slot.name).mkdir(parents=True, exist_ok=True)
    supervision.define([program(slot, version, place) for slot in known], place)
    supervision.start_all([slot.name for slot in slots(colour, place)], place)
    with change(place) as state:
        state.versions[colour] = version
    write_targets(place)


def resize(colour: Colour, count: int, place: Layout | None = None) -> None:
    """Let a running colour have `count` slots: further ones start as the others were started, the last ones
    drain and end. It neither waits for health nor touches targets. Returns when new processes run.
    """
    place = place or layout()
    known = every(colour, place)
    with change(place) as state:
        state.sizes[colour] = count
        if count == len(known):
            del state.sizes[colour]
    supervision.start_all([slot.name for slot in known[:count]], place)
    supervision.signal_stop([slot.name for slot in known[count:]], place)
    write_targets(place)


def stop_colour(colour: Colour, place: Layout | None = None, wait: bool = True) -> None:
    """Let every slot of a colour drain and end; with `wait`, return when the processes are gone."""
    place = place or layout()
    names = [slot.name for slot in every(colour, place)]
    if wait:
        supervision.stop_all(names, place, seconds=STOP_SECONDS + 10)
    else:
        supervision.signal_stop(names, place)
    with change(place) as state:
        state.versions.pop(colour, None)
        state.sizes.pop(colour, None)
    write_targets(place)


def running(colour: Colour, place: Layout | None = None) -> str | None:
    """The version of a colour, `None` when none of its processes lives."""
    place = place or layout()
    return load(place).versions.get(colour) if living(colour, place) else None


def living(colour: Colour, place: Layout | None = None) -> list[str]:
    """Names of a colour's slots whose process lives (one that is draining still does)."""
    place = place or layout()
    found = supervision.processes(place)
    return [
        slot.name
        for slot in every(colour, place)
        if slot.name in found and found[slot.name].state in supervision.ALIVE
    ]


def program(slot: Slot, version: str, place: Layout) -> Program:
    """What the supervisor runs for a slot."""
    return Program(
        name=slot.name,
        command=(sys.executable, "-m", "service"),
        folder=CHECKOUT,
        environment={
            **service_environment(place),
            "SUPERAGENT_HOST": slot.host,
            "SUPERAGENT_PORT": str(slot.port),
            "SUPERAGENT_METRICS_PORT": str(slot.metrics_port),
            "SUPERAGENT_VERSION": version,
            "SUPERAGENT_COLOUR": slot.colour,
            "SUPERAGENT_JOURNAL_DIR": str(place.data / "journal" / slot.name),
            "SUPERAGENT_DRAIN_SECONDS": str(DRAIN_SECONDS),
        },
        stop_seconds=STOP_SECONDS,
    )


def service_environment(place: Layout) -> dict[str, str]:
    """Settings that every command of the service needs here (`create-key` too)."""
    return {
        "SUPERAGENT_ENVIRONMENT": "local",
        "SUPERAGENT_DATABASE_URL_FILE": str(place.secret("database_url")),
        "SUPERAGENT_REDIS_URL_FILE": str(place.secret("redis_url")),
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
    }


def service_command(*words: str, place: Layout | None = None) -> tuple[list[str], dict[str, str]]:
    """Command and environment of `python -m service WORDS`; run it in the checkout."""
    environment = {**supervision.environment(), **service_environment(place or layout())}
    return [sys.executable, "-m", "service", *words], environment


def migrate_command(place: Layout | None = None) -> tuple[list[str], dict[str, str]]:
    """Command and environment that bring the local database's schema up to this checkout, as its owner."""
    place = place or layout()
    command, environment = service_command("migrate", place=place)
    owner = str(place.secret("database_owner_url"))
    return command, {**environment, "SUPERAGENT_DATABASE_OWNER_URL_FILE": owner}


def write_targets(place: Layout) -> None:
    """Tell Prometheus which slots to scrape, with the labels `colour`, `slot` and `environment`."""
    versions = load(place).versions
    groups = [
        {
            "targets": [f"{slot.host}:{slot.metrics_port}"],
            "labels": {"colour": colour, "slot": slot.name, "environment": "local"},
        }
        for colour in COLOURS
        if colour in versions
        for slot in slots(colour, place)
    ]
    write(place.targets / "service.json", json.dumps(groups, indent=2) + "\n")
