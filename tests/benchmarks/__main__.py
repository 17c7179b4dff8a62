"""`make bench`: the gateway beside its floor, its upstream and its peers, in one run, against its goals.

    make bench                                        everything; about eight minutes
    make bench ARGS="--only miss,hit"                 parts of it
    make bench ARGS="--only litellm,portkey"          the peers, installed apart; `plain` beside them
    make bench ARGS="--python /usr/bin/python3.11"    another interpreter, with the packages of this one

CPU per request is what counts: it is steadier than requests per second on a machine that does other things.
Everything runs on loopback, with **everything on** (key, four limits, cache, breaker, journal, metrics, log,
traces sampled out) over a real Postgres and a real Valkey. Parts:

    miss hit plain stream  CPU per request, in rounds that take turns with the floor
    latency                what is added to the upstream's p50 and p99 at half of saturation
    memory start           growth over many requests; spawn to ready
    processes              two processes against one, each at a quarter of what one can
    sharing                a miss while processes wait for each other's identical calls, against one alone
    keys cached providers  10 keys and cached answers against 100,000; 1 provider against 50
    semantic               looks among 10 questions and 100,000, recall, what it adds to a request
    upstream               our upstream client beside aiohttp and httpx
    litellm portkey        peers, or why they are not here
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from rich.console import Console

from tests.benchmarks import bench_upstream, cost, peers, processes, scale, semantic
from tests.benchmarks.report import Report
from tests.benchmarks.stack import Stack, stack

COSTS = ("miss", "hit", "plain", "stream")
PARTS = (
    *COSTS, "latency", "memory", "start", "processes", "keys", "cached", "providers", "semantic",
    "sharing", "upstream", "litellm", "portkey",
)  # fmt: skip


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", metavar="PARTS", help="comma-separated; default: all")
    parser.add_argument("--requests", type=int, default=1500, help="requests of a row in one round")
    parser.add_argument("--rounds", type=int, default=8, help="rounds of the rows")
    parser.add_argument("--growth", type=int, default=200_000, help="requests while memory is watched")
    parser.add_argument("--growth-seconds", type=float, default=150, help="and the longest time for them")
    parser.add_argument("--python", default=sys.executable, help="interpreter of what is measured")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the tables")
    given = parser.parse_args()
    given.parts = [one.strip() for one in given.only.split(",") if one.strip()] or list(PARTS)
    unknown = [one for one in given.parts if one not in PARTS]
    if unknown:
        parser.error(f"{', '.join(unknown)}: no such part; these are: {', '.join(PARTS)}")
    if given.requests < 40 or given.rounds < 1 or given.growth < 10_000:
        parser.error("at least 40 requests, one round and a growth of 10,000 requests are needed")
    return given


def main() -> int:
    given = options()
    console = Console(stderr=given.json, width=130, highlight=False)
    report = Report()
    try:
        report.about["interpreter"] = processes.use(given.python)
    except (OSError, ValueError) as error:
        console.print(f"--python: {error}.")
        return 2
    report.about["cores"] = str(os.cpu_count())
    report.about["load average before"] = f"{os.getloadavg()[0]:.1f}"
    with stack() as made:
        run(made, report, given, console)
    if "upstream" in given.parts:
        console.print("upstream client …")
        upstream(report)
    if given.json:
        report.write(sys.stdout)
    else:
        report.show(console)
    return 0


def run(made: Stack, report: Report, given: argparse.Namespace, console: Console) -> None:
    """Every chosen part that needs the stack, each announced."""
    rivals = [one for one in ("litellm", "portkey") if one in given.parts]
    kinds = [one for one in COSTS if one in given.parts or (rivals and one in ("plain", "stream"))]
    if kinds:
        console.print(f"{', '.join(kinds)} …")
        cost.cost(made, report, lambda kind: kind in kinds, given.requests, given.rounds)
    for name in rivals:
        console.print(f"{name} …")
        peers.compare(name, made, report)
    steps: dict[str, Callable[[], None]] = {
        "latency": lambda: cost.latency(made, report, 20),
        "start": lambda: scale.start(report, made),
        "providers": lambda: scale.providers(made, report),
        "processes": lambda: scale.processes(made, report),
        "sharing": lambda: scale.sharing(made, report),
        "keys": lambda: scale.keys(made, report),
        "cached": lambda: scale.cached(made, report),
        "semantic": lambda: semantic.semantic(made, report),
        "memory": lambda: scale.memory(made, report, given.growth, given.growth_seconds),
    }
    for name, step in steps.items():
        if name in given.parts:
            console.print(f"{name} …")
            step()


def upstream(report: Report) -> None:
    found = bench_upstream.run(3200)
    ours = found["superagent"]
    for name, kinds in found.items():
        for kind, figures in kinds.items():
            ratio = figures["cpu_us"] / ours[kind]["cpu_us"]
            what = f"{name}: {'a stream of 22 events' if kind == 'stream' else 'a whole answer'}"
            report.claim("upstream", what, f"{figures['cpu_us']:.0f} µs, {ratio:.1f} × ours")


if __name__ == "__main__":
    sys.exit(main())
