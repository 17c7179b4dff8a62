"""Who runs on which core, and what others took of the machine meanwhile: latency can only be told where the
gateway has a core of its own, and a figure is worth as much as the machine was quiet.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.benchmarks.processes import cpu_of, family

TICK = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def apart(gateways: Iterable[int]) -> Iterator[bool]:
    """Each of these processes on a core of its own, the rest of this run on what is left. False, and nothing
    is done, when no core would be left.
    """
    pids = list(gateways)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) <= len(pids):
        yield False
        return
    rest = [pid for pid in family(os.getpid()) if pid not in pids]
    try:
        for pid, core in zip(pids, cores, strict=False):
            _place(pid, {core})
        for pid in rest:
            _place(pid, set(cores[len(pids) :]))
        yield True
    finally:
        for pid in family(os.getpid()):
            _place(pid, set(cores))


def _place(pid: int, cores: set[int]) -> None:
    with contextlib.suppress(OSError):  # ended meanwhile, or another user's
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)


class Others:
    """What part of all cores everything but this run used, from its making to `share`."""

    def __init__(self) -> None:
        self._began = self._now()

    def share(self) -> float:
        """0 to 1."""
        (whole, busy, ours), (whole_then, busy_then, ours_then) = self._now(), self._began
        passed = whole - whole_then
        return max(0.0, (busy - busy_then) - (ours - ours_then)) / passed if passed else 0.0

    def _now(self) -> tuple[float, float, float]:
        """Seconds of all cores since boot: passed, busy, and ours."""
        fields = [int(one) for one in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        whole = sum(fields) / TICK
        idle = (fields[3] + fields[4]) / TICK
        return whole, whole - idle, sum([cpu_of(pid) for pid in family(os.getpid())])
