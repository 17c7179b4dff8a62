"""Instructions that a request takes in user space: `python -m tests.benchmarks.instructions miss hit`.

The real gateway under callgrind of valgrind, which counts instead of measuring: what else the machine does
hardly matters, and small changes can be told. It knows neither the kernel nor caches, and takes the processor
for one without SHA instructions; for times there is `make bench`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.load import load
from tests.benchmarks.stack import CONNECTIONS, chat, stack

KINDS = ("miss", "hit", "plain", "stream")


def count(kinds: list[str], requests: int) -> None:
    with tempfile.TemporaryDirectory() as name, stack() as made:
        made.under = [
            "valgrind", "-q", "--tool=callgrind", "--instr-atstart=no",
            f"--callgrind-out-file={name}/out",
        ]  # fmt: skip
        gateway = made.another(REDIS_TIMEOUT_SECONDS="10")

        def control(*command: str) -> None:
            told = ["callgrind_control", *command, str(gateway.process.pid)]
            subprocess.run(told, check=True, capture_output=True)

        for kind in kinds:
            make, totals = chat(made.key, kind), []
            load(gateway.port, make, 300, CONNECTIONS)
            for total in (
                requests // 5,
                requests + requests // 5,
            ):  # what both have in common is no request's
                control("-z")
                control("-i", "on")
                result = load(gateway.port, make, total, CONNECTIONS)
                control("-d")
                control("-i", "off")
                if result.failures:
                    raise SystemExit(f"{kind}: {result.failures} requests failed; nothing was counted.")
                dumps = sorted(Path(name).glob("out.*"), key=lambda path: path.stat().st_mtime)
                totals.append(max([_total(path) for path in dumps]))
                for path in dumps:
                    path.unlink()
            print(f"{kind}: {(totals[1] - totals[0]) / requests:,.0f} instructions a request", flush=True)


def _total(dump: Path) -> int:
    found = re.search(r"^(?:summary|totals): (\d+)", dump.read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kinds", nargs="+", choices=KINDS)
    parser.add_argument("--requests", type=int, default=1000)
    given = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("valgrind is missing: install the package `valgrind`.", file=sys.stderr)
        return 2
    count(given.kinds, given.requests)
    return 0


if __name__ == "__main__":
    sys.exit(main())
