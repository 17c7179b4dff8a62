"""What a person sees while several things happen at once: a line for each that ended, a list of the rest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.status import Status

from infra.console import err, warn


@dataclass(slots=True)
class Progress:
    """Steps that overlap; on stderr, so that stdout stays for the answer."""

    _running: list[str] = field(default_factory=list)
    _status: Status | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show a spinner with the running steps, on a terminal."""
        if not err.is_terminal:
            yield
            return
        with err.status("") as self._status:
            yield

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step; its line with the time it took appears when it ends well."""
        started = time.monotonic()
        self._running.append(title)
        self._update()
        try:
            yield
            err.print(f"[green]✓[/green] {title} [dim]{time.monotonic() - started:.1f} s[/dim]")
        finally:
            self._running.remove(title)
            self._update()

    def warn(self, text: str) -> None:
        """One line about something that is left out."""
        warn(text)

    def _update(self) -> None:
        if self._status is not None:
            self._status.update(", ".join(self._running))
