"""How far a long transfer is: bytes, rate and time left, on stderr; silent when nobody looks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from infra import console


class Meter:
    """Counts bytes from several threads; `total` also without a terminal."""

    def __init__(self, progress: Progress | None, task: int) -> None:
        self.total = 0
        self._progress = progress
        self._task = task
        self._lock = threading.Lock()

    def add(self, size: int) -> None:
        with self._lock:
            self.total += size
            if self._progress is not None:
                self._progress.update(self._task, advance=size)  # type: ignore[arg-type]


@contextmanager
def meter(title: str, expected: int | None) -> Iterator[Meter]:
    """A bar for `expected` bytes; without an expectation it shows amount, rate and time only."""
    if not console.err.is_terminal:
        yield Meter(None, 0)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console.err, transient=True) as progress:
        yield Meter(progress, progress.add_task(title, total=expected))
