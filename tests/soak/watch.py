"""Memory and descriptors of every part, while it lives."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.local import supervision
from infra.local.layout import Layout

EVERY_SECONDS: Final = 5.0
WARM_SECONDS: Final = 30.0
"""Growth is counted from here: pools and caches fill first."""


@dataclass(slots=True)
class Life:
    """One process from its start to its end."""

    part: str
    pid: int
    begun: float
    seen: float
    warm_bytes: int | None = None
    last_bytes: int = 0
    peak_bytes: int = 0
    warm_files: int | None = None
    last_files: int = 0

    @property
    def seconds(self) -> float:
        return self.seen - self.begun

    @property
    def growth_bytes(self) -> int:
        """Since it was warm."""
        return self.last_bytes - (self.last_bytes if self.warm_bytes is None else self.warm_bytes)

    @property
    def growth_files(self) -> int:
        """Open descriptors more than when it was warm."""
        return self.last_files - (self.last_files if self.warm_files is None else self.warm_files)


class Watch:
    """Samples until the end of its `with` block."""

    def __init__(self, place: Layout) -> None:
        self.lives: dict[int, Life] = {}
        self._place = place
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._ending.wait(EVERY_SECONDS):
            for process in supervision.processes(self._place).values():
                if process.pid:
                    self._look(process.name, process.pid)

    def _look(self, part: str, pid: int) -> None:
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        except OSError:
            return  # it ended between the two looks
        now = time.monotonic()
        life = self.lives.setdefault(pid, Life(part, pid, now, now))
        life.seen, life.last_bytes, life.last_files = now, pages * 4096, files
        life.peak_bytes = max(life.peak_bytes, life.last_bytes)
        if life.warm_bytes is None and life.seconds >= WARM_SECONDS:
            life.warm_bytes, life.warm_files = life.last_bytes, files
