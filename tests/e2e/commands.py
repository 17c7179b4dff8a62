"""`superagent` as a person runs it, in a state folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.home import CHECKOUT


@dataclass(frozen=True, slots=True)
class SuperAgent:
    """The command line with `SUPERAGENT_HOME` set to `home`."""

    home: Path

    def environment(self, **more: str) -> dict[str, str]:
        base = {key: text for key, text in os.environ.items() if not key.startswith("SUPERAGENT_")}
        return {**base, "SUPERAGENT_HOME": str(self.home), **more}

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """It can be interrupted as at a terminal, also where the run itself is a shell's background job."""
        return subprocess.Popen(
            [sys.executable, "-m", "infra.cli", *words],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(**environment),
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *words: str, seconds: float = 240, **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words, **environment)
        try:
            output, complaint = process.communicate(timeout=seconds)
        finally:
            process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, output, complaint)

    def must(self, *words: str, **environment: str) -> str:
        """Standard output of a command that has to succeed."""
        done = self.run(*words, **environment)
        assert done.returncode == 0, f"superagent {' '.join(words)}: {done.stderr}\n{done.stdout}"
        return done.stdout

    def parts(self) -> dict[str, dict[str, Any]]:
        """`superagent status --json` by part."""
        return {one["part"]: one for one in json.loads(self.run("status", "--json").stdout)}

    def ports(self) -> dict[str, int]:
        found: dict[str, int] = json.loads((self.home / "state.json").read_text())["ports"]
        return found

    def wait(
        self, ready: Callable[[dict[str, dict[str, Any]]], bool], what: str, seconds: float = 60
    ) -> None:
        """Ask `status` until `ready` says so of the parts."""
        deadline = time.monotonic() + seconds
        while not ready(parts := self.parts()):
            unwell = [f"{name}: {one['problem']}" for name, one in parts.items() if not one["healthy"]]
            assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s; {unwell}"
