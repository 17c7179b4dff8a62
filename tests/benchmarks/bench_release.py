"""How fast a release is, on a system of its own: `python -m tests.benchmarks.bench_release`; three minutes.

| Measured | From | To | Goal |
|---|---|---|---|
| weight change | `modify_listener` returns | the last answer of the old colour | 1 s |
| abort | the journal has the breach | the last answer of the new colour | 2 s |
| release | `release start`, 3 steps with 5 s bakes | its end | 45 s |

All of it under load; a failed request or a broken stream fails the benchmark.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from infra.release.wiring import open_tool
from infra.stack.outputs import Colour
from tests.e2e.commands import SuperAgent
from tests.infra.release.load import Load

SWITCHES = 6


def last_seen(load: Load, build: str, since: float) -> float:
    """Seconds from `since` (monotonic) until a version answered for the last time; 0 when it did not."""
    return max((at - since for at, seen in load.tally.seen if seen == build and at >= since), default=0.0)


def switches(superagent: SuperAgent, load: Load) -> list[float]:
    """Move all traffic to and fro between two running colours."""
    process = superagent.start("release", "start", "--version", "v2", "--steps", "50,100", "--bake", "10m")
    tool = open_tool("local")
    while (run := tool.journal.current()) is None or run.phase != "bake":
        time.sleep(0.1)
    superagent.must("release", "pause", "--reason", "benchmark")
    took = []
    for number in range(SWITCHES):
        new: Colour = "green" if number % 2 == 0 else "blue"
        old_build = "v1" if new == "green" else "v2"
        weights: dict[Colour, int] = {"blue": 0, "green": 0, new: 100}
        tool.router.write(weights, pin=False, stickiness_seconds=5)
        at = time.monotonic()
        time.sleep(3)
        took.append(last_seen(load, old_build, at))
    superagent.run("release", "abort", "--reason", "benchmark")
    process.communicate(timeout=60)
    return took


def abort(superagent: SuperAgent, load: Load, folder: Path) -> float:
    """A version that turns out slow under load: from the breach in the journal to its last answer."""
    slow = {
        "name": "simulator",
        "kind": "simulator",
        "models": ["echo", "lorem"],
        "options": {"latency": 0.6},
    }
    path = folder / "providers.json"
    path.write_text(json.dumps({"providers": [slow], "aliases": {"simulator": ["simulator/echo"]}}))
    done = superagent.run(
        "release", "start", "--version", "slow", "--bake", "20s", SUPERAGENT_PROVIDERS_FILE=str(path)
    )
    assert done.returncode == 1, done.stderr
    tool = open_tool("local")
    run = tool.journal.current()
    assert run is not None
    (breach,) = [entry.at for entry in tool.journal.history(run.run_id) if "bake failed" in entry.text]
    ago = time.time() - breach
    return last_seen(load, "slow", time.monotonic() - ago)


def release(superagent: SuperAgent) -> float:
    """A whole release with three steps and bakes of five seconds."""
    began = time.monotonic()
    superagent.must("release", "start", "--version", "v3", "--steps", "10,50,100", "--bake", "5s")
    return time.monotonic() - began


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="superagent-bench-") as scratch:
        superagent = SuperAgent(Path(scratch) / "home")
        os.environ["SUPERAGENT_HOME"] = str(superagent.home)
        try:
            key = json.loads(superagent.must("up", "--json"))["admin_key"]
            url = f"http://127.0.0.1:{superagent.ports()['api']}"
            with Load(url, key, clients=8, streamers=2) as load:
                switched = switches(superagent, load)
                aborted = abort(superagent, load, Path(scratch))
                took = release(superagent)
                tally = load.stop()
        finally:
            superagent.run("down", "--purge")
    table = Table("measured", "seconds", "goal")
    table.add_row("weight change, median", f"{statistics.median(switched):.2f}", "1")
    table.add_row("weight change, slowest", f"{max(switched):.2f}", "1")
    table.add_row("abort", f"{aborted:.2f}", "2")
    table.add_row("release, 3 steps, 5 s bakes", f"{took:.1f}", "45")
    table.add_row("requests", str(sum(tally.answers.values())), "")
    table.add_row("failed", str(len(tally.failures)), "0")
    Console().print(table)
    met = max(switched) <= 1 and aborted <= 2 and took <= 45 and not tally.failures
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
