"""Load on loopback by k6: whole answers and streams over kept connections, every failure kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

SCRIPT = Path(__file__).with_name("load.js")
K6 = Path(sys.executable).with_name("k6")
PAUSE_SECONDS = 0.1
"""Between two requests of one connection: load that two cores carry beside everything else."""
LIMIT_SECONDS = 300
"""The load ends by itself after this long."""


@dataclass(slots=True)
class Load:
    """Runs while its `with` block runs; what happened can be read after it."""

    port: int
    key: str
    folder: Path
    connections: int = 32
    streams: int = 8
    """How many of the connections ask for streams of a quarter of a second: longer ones would be the slowest
    twentieth of all answers or not by chance, and the release looks at that quantile."""
    builds: list[str] = field(default_factory=list)
    """The `build` header of every answer, in the order of arrival."""
    failures: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    _k6: subprocess.Popen[str] | None = None

    @property
    def _points(self) -> Path:
        return self.folder / "points.json"

    def __enter__(self) -> Load:
        settings = {
            "URL": f"http://127.0.0.1:{self.port}",
            "KEY": self.key,
            "CONNECTIONS": str(self.connections),
            "STREAMS": str(self.streams),
            "PAUSE": str(PAUSE_SECONDS),
            "DURATION": f"{LIMIT_SECONDS}s",
        }
        quiet = ("--quiet", "--no-summary", "--no-usage-report", "--address", "")
        self._k6 = subprocess.Popen(
            [str(K6), "run", *quiet, "--out", f"json={self._points}", str(SCRIPT)],
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **settings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._k6
        self._k6.send_signal(signal.SIGINT)
        try:
            _, complaint = self._k6.communicate(timeout=60)
        finally:
            self._k6.kill()
        assert self._points.exists(), complaint
        for line in self._points.read_text().splitlines():
            point = json.loads(line)
            if point["metric"] == "answers" and point["type"] == "Point":
                self._count(point["data"]["tags"])

    def _count(self, tags: dict[str, str]) -> None:
        if tags["failure"]:
            self.failures[tags["failure"]] += 1
            return
        self.answered[tags["kind"]] += 1
        self.builds.append(tags["build"])
