"""CPU per request beside the floor, and what the gateway adds to a request's latency.

Rows take turns in short rounds, so that whatever else the machine does falls on all of them; a ratio is the
median of the ratios within one round.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.cores import Others, apart
from tests.benchmarks.load import Result, load, paced
from tests.benchmarks.processes import Measured
from tests.benchmarks.report import Cost, Report
from tests.benchmarks.stack import CONNECTIONS, Make, Stack, chat, hello

GOALS = {"miss": 5.0, "hit": 3.0}


@dataclass
class Row:
    """Something measured: its process, its requests, how many of them a round."""

    name: str
    target: Measured
    make: Make
    count: int
    connections: int = CONNECTIONS


def once(row: Row, count: int = 0) -> tuple[float, Result]:
    """(CPU microseconds a request, the load's result). Fails when a request was not answered 200."""
    count = count or row.count
    before = row.target.cpu()
    result = load(row.target.port, row.make, count, row.connections)
    cpu = (row.target.cpu() - before) / count * 1e6
    if result.failures:
        raise SystemExit(f"{row.name}: {result.failures} of {count} requests failed; nothing was measured.")
    return cpu, result


def interleaved(rows: list[Row], rounds: int) -> list[Cost]:
    """Each row `rounds` times in turn; the first row is the floor of the others."""
    costs = [Cost(row.name) for row in rows]
    seconds, latencies = [0.0] * len(rows), [list[float]() for _ in rows]
    for row in rows:
        once(row, min(200, row.count))
    for _ in range(rounds):
        floor = 0.0
        for index, row in enumerate(rows):
            cpu, result = once(row)
            floor = floor or cpu
            cost = costs[index]
            cost.cpu.append(cpu)
            cost.times_floor.append(cpu / floor)
            seconds[index] += result.seconds
            latencies[index] += result.latencies
            if result.events:
                cost.per_event = cost.median / (result.events / row.count)
    for index, cost in enumerate(costs):
        latencies[index].sort()
        cost.rate = len(latencies[index]) / seconds[index]
        cost.p50_ms = latencies[index][len(latencies[index]) // 2] * 1e3
        cost.memory_mb = rows[index].target.memory()
    return costs


def cost(stack: Stack, report: Report, wanted: Callable[[str], bool], requests: int, rounds: int) -> None:
    """The rows `miss`, `hit`, `plain` and `stream`, with floor and upstream."""
    rows = [
        Row("floor: plain ASGI hello", stack.floor, hello, requests * 2),
        Row("the same, a body read and an answer of 600 bytes", stack.upstream, chat("x", "plain"), requests),
    ]
    names = {"miss": "cache miss", "hit": "cache hit", "plain": "not cacheable", "stream": "stream"}
    for kind, name in names.items():
        if wanted(kind):
            count = requests if kind != "stream" else requests // 4
            rows.append(Row(f"gateway: {name}", stack.gateway, chat(stack.key, kind), count))
    if wanted("miss"):
        make = chat(stack.key, "miss", "x-one: 1\r\n")
        rows.append(Row("gateway: cache miss, 1 connection", stack.gateway, make, requests // 4, 1))
        report.claim("memory", "RSS after start", *_within(stack.gateway.memory(), 90, "MB"))
    measured = interleaved(rows, rounds)
    report.costs += measured
    for kind, goal in GOALS.items():
        found = report.cost(f"gateway: {names[kind]}")
        if found is not None:
            value = f"{found.median:.0f} µs, {found.ratio:.1f} × floor (least {min(found.cpu):.0f} µs)"
            report.claim("cost", names[kind], value, f"≤ {goal:.0f} × floor", found.ratio <= goal)
            absolute = 60 * goal
            report.claim(
                "cost", f"{names[kind]}, absolute", f"{found.median:.0f} µs", f"about {absolute:.0f} µs",
                found.median <= absolute,
            )  # fmt: skip
    streamed = report.cost("gateway: stream")
    if streamed is not None:
        value = f"{streamed.per_event:.0f} µs"
        report.claim("cost", "a streamed event", value, "≤ 40 µs", streamed.per_event <= 40)


def latency(stack: Stack, report: Report, seconds: float) -> None:
    """Added p50 and p99 at half of saturation: cache misses through the gateway, and the upstream asked
    directly at the same rate, in turns. The gateway has a core of its own where there are two; load, upstream
    and stores share what is left. The median of the turns is told: another's burst falls into one turn.
    """
    row = Row("saturation", stack.gateway, chat(stack.key, "miss"), 3000)
    alone, turns = Others(), 8
    with apart([stack.gateway.process.pid]) as placed:
        once(row, 500)
        saturation = max([once(row)[1].rate for _ in range(3)])
        rate = saturation / 2
        direct, through = list[Result](), list[Result]()
        for _ in range(turns):
            total = int(rate * seconds / turns / 2)
            direct.append(paced(stack.upstream.port, chat("x", "plain"), total, CONNECTIONS, rate))
            through.append(paced(stack.gateway.port, row.make, total, CONNECTIONS, rate))
    where = "the gateway on a core of its own" if placed else "everything on one core"
    others = f"{where}; others took {alone.share():.0%} of the machine"
    report.claim("latency", "saturation, cache misses", f"{saturation:.0f} requests/s ({others})")
    failures = sum([one.failures for one in (*direct, *through)])
    if failures:
        raise SystemExit(f"latency: {failures} requests failed; nothing was measured.")
    for part, goal in ((0.5, 1.0), (0.99, 5.0)):
        pairs = [
            (t.percentile(part) * 1e3, d.percentile(part) * 1e3) for t, d in zip(through, direct, strict=True)
        ]
        added = statistics.median([t - d for t, d in pairs])
        ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
        value = f"{added:.2f} ms ({ours:.2f} through, {theirs:.2f} direct)"
        what = f"added p{part * 100:.0f} at {rate:.0f} requests/s"
        report.claim("latency", what, value, f"≤ {goal:.0f} ms", added <= goal)


def _within(value: float, goal: float, unit: str) -> tuple[str, str, bool]:
    return f"{value:.1f} {unit}", f"≤ {goal:.0f} {unit}", value <= goal
