"""When something counts as a bottleneck, and how long a change is watched. One table a question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from infra.errors import UserError


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Seconds, shares from 0 to 1, or cores unless said otherwise."""

    fewest: int = 20
    """Requests or calls below which nothing is concluded from a share or a quantile."""
    confidence_z: float = 3.09
    """Standard normal quantile of a difference between providers (one false alarm in a thousand)."""

    slow_factor: float = 3.0
    """A provider is slow when its p95 is so many times that of the others …"""
    slow_margin: float = 0.25
    """… and above it by so much …"""
    slow_share: float = 0.2
    """… and it takes such a part of all time spent at providers."""
    slow_alone: float = 3.0
    """p95 from which an only provider is slow by itself."""
    provider_errors: float = 0.05
    """Share of failed calls that is surely exceeded (Wilson)."""
    breaker_open: float = 0.02
    """Share of the time that a breaker was open."""
    endpoint_errors: float = 0.01
    """Share of answers with 5xx that is surely exceeded."""
    agent_errors: float = 0.05

    busy: float = 0.8
    """Of the one core that a process can use: above it, it is full."""
    starved_busy: float = 0.1
    """On a machine without free CPU (`machine_busy`) a process that gets so little can be full as well: its
    requests then wait much longer for it (`waiting`) than they compute, most of their time (`own_share`)."""
    machine_busy: float = 0.8
    waiting: float = 4.0
    own_share: float = 0.5
    lopsided: float = 3.0
    """A full process beside one that does so many times less: traffic is spread badly, not too much."""
    idle: float = 0.2
    """Below it, in each process, one fewer would do …"""
    idle_window: float = 900.0
    """… when that held for at least so long."""
    memory_free: float = 0.05
    """Least part of the machine's memory that is available."""
    growth_window: float = 1_800.0
    """Shortest stretch from which growth of memory is concluded."""
    growth_share: float = 0.1
    """Growth within the stretch, of what the process has, that is worth a word."""

    cache_hit_rate: float = 0.2
    """Below it, answers that live shorter than `cache_short` may leave too early."""
    cache_short: int = 600
    cache_default: int = 3_600
    """What an answer's life is set to when the cache is off or too short."""
    redis_away: float = 0.01
    """Share of the time without Redis: without it there is no cache."""
    journal_pending: int = 5_000
    """Usage rows that waited for Postgres."""
    debates: float = 50.0
    """Debates of one process (docs/debates.md)."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a change is judged; seconds."""

    piece: float
    """Length of the pieces that are compared; several scrapes long."""
    pieces: int
    """Compared on either side; four against four can differ by chance once in seventy times."""
    settle: float
    """From a change in force to the first piece that counts; longer than a scrape."""
    timeout: float
    """Longest wait for a change to be in force."""
    poll: float = 1.0
    certainty: float = 0.05
    """Chance of a mistake that is allowed in `better` and in `worse`."""
    margin: float = 0.05
    """Part by which p95 must move to count."""
    fewest: int = 5
    """Requests a piece must have."""

    @property
    def watch(self) -> float:
        return self.piece * self.pieces


PACES: Final[dict[str, Pace]] = {
    "local": Pace(piece=15.0, pieces=4, settle=10.0, timeout=90.0),
    "cloud": Pace(piece=60.0, pieces=8, settle=60.0, timeout=900.0),
}
SHORTEST: Final = 60.0
LONGEST: Final = 7 * 86_400.0
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def pace(compute: str) -> Pace:
    """Of a stack's `compute`."""
    return PACES["local" if compute == "local" else "cloud"]


def window(text: str, option: str) -> float:
    """`"90s"`, `"15m"`, `"1h"`, `"2d"` in seconds. Raises `UserError` outside of a minute to a week."""
    unit = _UNITS.get(text[-1:], 0.0)
    try:
        seconds = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        seconds = -1.0
    if not SHORTEST <= seconds <= LONGEST:
        raise UserError(
            f"{option} {text!r} is not a time from a minute to 7 days.", "Write for example 15m, 1h or 2d."
        )
    return seconds
