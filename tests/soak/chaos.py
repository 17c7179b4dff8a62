"""What is done to the system: kills, releases, backups, drills, chosen by a seed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.e2e.commands import SuperAgent

VICTIMS: Final = ("postgres", "valkey", "aws", "alb", "envoy", "service", "prometheus", "keeper")
ACTIONS: Final = {"kill": 6, "release": 2, "backup": 2, "drill": 1}
HEAL_SECONDS: Final = 120.0
COMMAND_SECONDS: Final = 400.0


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that was done, and when the system was whole again."""

    what: str
    begun: float
    ended: float
    """Of `time.monotonic`."""
    trouble: str = ""

    @property
    def kills(self) -> bool:
        return self.what.startswith("kill ")


@dataclass(slots=True)
class Chaos:
    """Does one thing after another; the same seed chooses the same things."""

    superagent: SuperAgent
    chance: random.Random
    only: tuple[str, ...] = ()
    """Names of actions or victims; empty: all."""
    version: int = 1

    def deeds(self, until: float) -> Iterator[Deed]:
        """Until `time.monotonic` says `until`; the last one is finished."""
        kills = any(name in VICTIMS for name in self.only)
        wanted = {
            name: share
            for name, share in ACTIONS.items()
            if not self.only or name in self.only or (name == "kill" and kills)
        }
        names, shares = list(wanted), list(wanted.values())
        todo = names[::-1]  # each once, a backup before the drill that restores it; then by chance
        while time.monotonic() < until:
            name = todo.pop() if todo else self.chance.choices(names, shares)[0]
            yield self._do(name)
            time.sleep(self.chance.uniform(1, 6))  # load alone, so that quiet is seen too

    def _do(self, name: str) -> Deed:
        begun = time.monotonic()
        if name == "kill":
            what, trouble = self._kill()
        elif name == "release":
            self.version += 1
            what, trouble = self._command("release", "start", "--version", f"v{self.version}")
        elif name == "backup":
            what, trouble = self._command("backup", "create")
        else:
            what, trouble = self._command("drill")
        return Deed(what, begun, time.monotonic(), trouble)

    def _kill(self) -> tuple[str, str]:
        parts = self.superagent.parts()
        victim = self.chance.choice([one for one in VICTIMS if one in self.only] or VICTIMS)
        if victim == "service":
            running = sorted(
                one for one in parts if one.startswith(("blue-", "green-")) and parts[one]["pid"]
            )
            victim = self.chance.choice(running)
        pid = parts.get(victim, {}).get("pid")
        if not pid:
            return f"kill {victim}", "it did not run"
        os.kill(pid, signal.SIGKILL)
        try:
            self.superagent.wait(
                lambda now: (
                    now[victim]["pid"] not in (None, pid)
                    and all(part["healthy"] for part in now.values() if part["needed"])
                ),
                f"{victim} is back",
                HEAL_SECONDS,
            )
        except AssertionError as late:
            return f"kill {victim}", str(late)
        return f"kill {victim}", ""

    def _command(self, *words: str) -> tuple[str, str]:
        done = self.superagent.run(*words, seconds=COMMAND_SECONDS)
        said = (done.stderr or done.stdout).strip().splitlines()
        return " ".join(
            words
        ), "" if done.returncode == 0 else f"exit {done.returncode}: {' '.join(said[-2:])}"
