"""Where the CPU of a request goes, function by function: `python -m tests.benchmarks.profile hit`.

The service samples itself by its own CPU time (ITIMER_PROF, with each tick of the kernel), so that a busy
machine changes nothing: time in which it did not run is not counted. It tells shares, not times. What native
code takes counts to the Python function that called it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

REPORT = "BENCH_PROFILE"
LINES = 28


def sampled() -> int:
    """The service with a sampler in it; writes what it saw into the file that `BENCH_PROFILE` names."""
    from service.__main__ import main

    inclusive: Counter[str] = Counter()
    own: Counter[str] = Counter()

    def sample(number: int, frame: FrameType | None) -> None:
        seen: set[str] = set()
        first = True
        while frame is not None:
            code = frame.f_code
            place = Path(code.co_filename)
            name = f"{place.parent.name}/{place.name} {code.co_qualname}"
            if first:
                own[name] += 1
                first = False
            if name not in seen:
                seen.add(name)
                inclusive[name] += 1
            frame = frame.f_back

    def arm(number: int, frame: FrameType | None) -> None:
        inclusive.clear()
        own.clear()
        signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)

    signal.signal(signal.SIGPROF, sample)
    signal.signal(signal.SIGUSR1, arm)
    code = main([])
    signal.setitimer(signal.ITIMER_PROF, 0)
    found = {"own": own.most_common(LINES), "inclusive": inclusive.most_common(80), "total": own.total()}
    Path(os.environ[REPORT]).write_text(json.dumps(found))
    return code


def profile(kind: str, requests: int) -> None:
    from tests.benchmarks import stack as parts
    from tests.benchmarks.load import load

    with parts.stack("tests.benchmarks.profile") as stack:
        make = parts.chat(stack.key, kind)
        load(stack.gateway.port, make, 500, parts.CONNECTIONS)
        stack.gateway.process.send_signal(signal.SIGUSR1)
        load(stack.gateway.port, make, requests, parts.CONNECTIONS)
        stack.gateway.stop()
        found = json.loads(Path(os.environ[REPORT]).read_text())
    total = found["total"]
    print(f"{kind}: {total} samples over {requests} requests")
    for title, rows in (("with what it calls", found["inclusive"]), ("alone", found["own"])):
        print(f"\n{'%':>6}  {title}")
        for name, count in rows[:LINES]:
            print(f"{count / total * 100:6.1f}  {name}")


def main() -> int:
    if REPORT in os.environ:
        return sampled()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kind", choices=("hit", "miss", "plain", "stream"))
    parser.add_argument("--requests", type=int, default=20_000)
    given = parser.parse_args()
    os.environ[REPORT] = f"/tmp/bench-profile-{os.getpid()}.json"
    try:
        profile(given.kind, given.requests)
    finally:
        Path(os.environ[REPORT]).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
