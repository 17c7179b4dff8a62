"""Too much to do for the processes, badly spread, or too little."""

from __future__ import annotations

from collections.abc import Iterator

from infra.advise.finding import Bottleneck
from infra.advise.observed import Instance, Observed
from infra.advise.own_time import own_time
from infra.advise.settings import Thresholds
from infra.advise.words import percent, seconds


def saturated(seen: Observed, limits: Thresholds) -> Iterator[Bottleneck]:
    """A process is one thread: at one core it is full, and requests queue inside it."""
    running = seen.running
    full = [one for one in running if one.busy >= limits.busy]
    waits = own_time(seen)
    starved = (
        not full
        and waits is not None
        and (seen.machine_busy or 0.0) >= limits.machine_busy
        and waits.factor >= limits.waiting
        and waits.share >= limits.own_share
    )
    if starved:
        full = [one for one in running if one.busy >= limits.starved_busy]
    if not full or seen.requests < limits.fewest or _is_lopsided(running, full, limits):
        return
    names = ", ".join(one.name for one in full)
    evidence = [f"{one.name} uses {one.busy:.2f} of the one core that a process can use" for one in full]
    if starved:
        evidence.append(f"the machine has no more to give: its CPUs are {percent(seen.machine_busy)} busy")
    if waits is not None:
        evidence.append(
            f"a model request spends {seconds(waits.own)} outside of providers ({percent(waits.share)} of "
            f"its time), {waits.factor:.1f} times the CPU time it costs"
        )
    evidence.append(
        f"up to {max(one.in_flight_most for one in full):.0f} requests at once in a process; "
        f"{len(running)} of the live colour run"
    )
    yield Bottleneck(
        "saturated",
        names,
        "one process is saturated"
        if len(running) == 1
        else f"{len(full)} of {len(running)} processes are full",
        tuple(evidence),
        max((waits.share if waits is not None else 0.0), max(one.busy for one in full) - limits.busy),
        {"busy": max(one.busy for one in full), "instances": float(len(running))},
    )


def lopsided(seen: Observed, limits: Thresholds) -> Iterator[Bottleneck]:
    running = seen.running
    full = [one for one in running if one.busy >= limits.busy]
    if full and seen.requests >= limits.fewest and _is_lopsided(running, full, limits):
        least = min(running, key=lambda one: one.busy)
        yield Bottleneck(
            "lopsided",
            ", ".join(one.name for one in full),
            "traffic is spread unevenly over the processes",
            (
                *(f"{one.name} uses {one.busy:.2f} of its core" for one in full),
                f"{least.name} uses {least.busy:.2f}",
            ),
            0.5,
            {"busy": max(one.busy for one in full), "least": least.busy},
        )


def memory(seen: Observed, limits: Thresholds) -> Iterator[Bottleneck]:
    if seen.memory_free is not None and seen.memory_free < limits.memory_free:
        yield Bottleneck(
            "memory_short", "machine", "the machine is short of memory",
            (f"at the worst moment {percent(seen.memory_free)} was available",), 0.5,
            {"free": seen.memory_free},
        )  # fmt: skip
    for one in seen.running:
        grown = one.growth.low * seen.seconds if one.growth is not None else 0.0
        if one.growth is not None and one.memory and grown > limits.growth_share * one.memory:
            yield Bottleneck(
                "memory_grows", one.name, f"{one.name} needs ever more memory",
                (f"{one.growth.middle * 3600 / 2**20:.1f} MiB an hour, surely over "
                 f"{one.growth.low * 3600 / 2**20:.1f}; it has {one.memory / 2**20:.0f} MiB",), 0.3,
                {"bytes_per_hour": one.growth.middle * 3600},
            )  # fmt: skip


def ledger_behind(seen: Observed, limits: Thresholds) -> Iterator[Bottleneck]:
    if seen.journal_pending > limits.journal_pending:
        yield Bottleneck(
            "ledger_behind", "postgres", "usage rows wait for Postgres",
            (f"up to {seen.journal_pending:.0f} rows waited",), 0.2, {"pending": seen.journal_pending},
        )  # fmt: skip


def many_debates(seen: Observed, limits: Thresholds) -> Iterator[Bottleneck]:
    crowded = [one for one in seen.running if one.debates > limits.debates]
    if crowded:
        most = max(one.debates for one in crowded)
        yield Bottleneck(
            "many_debates", ", ".join(one.name for one in crowded), "a process runs very many debates",
            (f"up to {most:.0f} at once; over {limits.debates:.0f} is the signal to scale out",), 0.5,
            {"debates": most},
        )  # fmt: skip


def surplus(seen: Observed, limits: Thresholds) -> Iterator[Bottleneck]:
    """Every process nearly idle for long: one fewer carries the same with room to spare."""
    running = seen.running
    if len(running) < 2 or seen.covered < limits.idle_window or seen.requests < limits.fewest:
        return
    busiest = max(one.busy for one in running)
    if busiest >= limits.idle or any(one.debates > limits.debates / 4 for one in running):
        return
    yield Bottleneck(
        "surplus", "fleet", f"{len(running)} processes are nearly idle",
        (f"none used more than {busiest:.2f} of its core in {seen.covered / 60:.0f} minutes",), 0.0,
        {"busy": busiest, "instances": float(len(running))},
    )  # fmt: skip


def _is_lopsided(running: tuple[Instance, ...], full: list[Instance], limits: Thresholds) -> bool:
    least = min(one.busy for one in running)
    return len(full) < len(running) and least * limits.lopsided < max(one.busy for one in full)
