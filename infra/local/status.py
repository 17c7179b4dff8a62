"""`superagent status`: every part with its process, and whether it answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from infra.local import health, parts, slots, supervision, system
from infra.local.layout import Layout
from infra.local.state import State, load
from infra.stack.outputs import COLOURS


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One line of the table."""

    part: str
    state: str
    """As the supervisor says (`RUNNING`, …), `DOWN` when nothing watches it, `MISSING` when not installed."""
    pid: int | None
    port: int | None
    version: str
    healthy: bool
    problem: str
    """Empty when healthy."""
    seconds: int
    """Since the process started."""
    needed: bool
    """An unhealthy part that is not needed does not make the system unhealthy."""


def status(place: Layout) -> list[PartStatus]:
    """Every part, asked at once. Raises `UserError` for a corrupt state file."""
    state = load(place)
    processes = supervision.processes(place)
    with ThreadPoolExecutor(max_workers=16) as pool:
        names = [*_names(state), *sorted(set(processes) - system.idle(state))]
        wanted = list(dict.fromkeys(names))
        return [*pool.map(lambda name: _one(name, place, processes, state.ports, state.versions), wanted)]


def _one(
    name: str,
    place: Layout,
    processes: dict[str, supervision.Process],
    ports: dict[str, int],
    versions: dict[str, str],
) -> PartStatus:
    process = processes.get(name)
    part = parts.BY_NAME.get(name)
    needed = part is None or not part.optional
    if process is None and not needed and parts.find(name) is None:
        return PartStatus(name, "MISSING", None, None, "", False, part.why if part else "", 0, False)
    running = process is not None and process.state in supervision.ALIVE
    if process is None:
        problem = "the supervisor does not run it"
    elif name in health.ASKABLE and process.state in ("RUNNING", "STARTING"):
        problem = health.problem(name, place, ports)
    elif process.state == "RUNNING":
        problem = health.process_problem(process.pid)
    else:
        problem = f"its process is {process.state}"
    return PartStatus(
        part=name,
        state=process.state if process else "DOWN",
        pid=process.pid if process and running and process.pid else None,
        port=system.part_port(name, ports),
        version=system.part_version(name, versions),
        healthy=not problem,
        problem=problem,
        seconds=process.seconds if process and running else 0,
        needed=needed,
    )


def _names(state: State) -> list[str]:
    coloured = [
        f"{colour}-{number}"
        for colour in COLOURS
        if colour in state.versions
        for number in range(1, slots.size(colour, state) + 1)
    ]
    optional = [part.name for part in parts.PARTS if part.optional]
    return [*system.REQUIRED, *coloured, *optional]
