"""The parts of the local system as one table: what each runs, on which port, in which version."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from typing import Final

from infra.home import CHECKOUT
from infra.local import parts, postgres, prometheus, slots, valkey
from infra.local.alb.envoy import envoy_command, write_bootstrap
from infra.local.credentials import value, write_urls
from infra.local.layout import Layout, write
from infra.local.programs import Program
from infra.local.state import State

REQUIRED: Final = ("postgres", "valkey", "aws", "alb", "envoy", "keeper")
"""Parts without which nothing works; the slots of a colour come on top."""


def configure(place: Layout, ports: dict[str, int]) -> None:
    """Write every part's configuration and the URLs that name it."""
    write_urls(place, ports)
    postgres.configure(place, ports["postgres"])
    valkey.configure(place, ports["valkey"])
    prometheus.configure(place, ports)
    write_bootstrap(place.conf / "alb", ports["envoy"])
    passwords = {f"redis://127.0.0.1:{ports['valkey']}": value(place, "redis_password")}
    write(place.secret("redis_exporter.json"), json.dumps(passwords), 0o600)
    write(place.conf / "blackbox.yml", "modules:\n  http_2xx:\n    prober: http\n    timeout: 3s\n")
    slots.write_targets(place)


def programs(place: Layout, ports: dict[str, int]) -> list[Program]:
    """Everything that runs beside the service."""
    endpoint = f"http://127.0.0.1:{ports['aws']}"
    aws = (sys.executable, "-m", "infra.local.aws", "--port", str(ports["aws"]))
    alb = (sys.executable, "-m", "infra.local.alb", "--endpoint", endpoint)
    folder = place.conf / "alb"
    return [
        postgres.program(place),
        valkey.program(place),
        Program("aws", (*aws, "--data", str(place.data / "aws")), CHECKOUT),
        Program(
            "alb",
            (*alb, "--state", str(folder), "--admin-port", str(ports["envoy"])),
            CHECKOUT,
        ),
        Program("envoy", tuple(envoy_command(parts.required("envoy"), folder)), place.data),
        Program(
            "keeper",
            (sys.executable, "-m", "infra.local.keeper"),
            CHECKOUT,
            {"SUPERAGENT_HOME": str(place.root)},
        ),
        *prometheus.programs(place, ports),
        Program(
            "console",
            (sys.executable, "-m", "infra.local.console", "--port", str(ports["console"])),
            CHECKOUT,
            {"SUPERAGENT_HOME": str(place.root)},
        ),
    ]


def idle(state: State) -> set[str]:
    """Slots that are not meant to run: of idle colours, and those that a colour was scaled in by."""
    return {
        f"{colour}-{number}"
        for colour, addresses in slots.ADDRESSES.items()
        for number, _ in enumerate(addresses, start=1)
        if colour not in state.versions or number > slots.size(colour, state)
    }


def part_version(part: str, versions: dict[str, str]) -> str:
    """The version of a part as a person knows it."""
    colour = part.partition("-")[0]
    if colour in versions:
        return versions[colour]
    if part in parts.BY_NAME:
        found = parts.find(part)
        return found.version if found else ""
    return {
        "aws": f"moto {version('moto')}",
        "alb": "",
        "keeper": "",
        "supervisor": version("supervisor"),
    }.get(part, "")


def part_port(part: str, ports: dict[str, int]) -> int | None:
    """The port that a part listens on."""
    if part.partition("-")[0] in slots.ADDRESSES:
        return ports["service"]
    return ports.get(part)
