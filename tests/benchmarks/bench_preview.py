"""What `superagent preview --stack prod` takes: wall clock and CPU, the recorder's process included.

    python -m tests.benchmarks.bench_preview --runs 3

The goal is 8 s on a machine that does nothing else (docs/operations/environments.md, "How long it takes").
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time

from infra.home import CHECKOUT


def measure(arguments: list[str]) -> dict[str, float]:
    """Seconds of one preview; CPU counts the command and the recorder that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    command = [sys.executable, "-m", "infra.cli", "preview", "--stack", "prod", *arguments]
    subprocess.run(command, cwd=CHECKOUT, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_seconds": round(wall, 2), "cpu_seconds": round(cpu, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    found = {
        name: [measure(arguments) for _ in range(runs)]
        for name, arguments in {
            "prod ec2": [],
            "prod eks": ["--config", "compute=eks"],
            "prod ec2 against HEAD": ["--base", "HEAD"],
        }.items()
    }
    json.dump({"load": os.getloadavg()[0], "runs": found}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
