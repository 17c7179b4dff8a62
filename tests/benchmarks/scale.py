"""What must not grow: memory with requests, cost with keys, cached answers, providers and processes."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import subprocess
import sys
import time

import asyncpg

from service.auth.keys import PREFIX_LENGTH, digest, new_key
from tests.benchmarks.cost import Row, interleaved, once
from tests.benchmarks.load import load
from tests.benchmarks.processes import ROOT, Measured
from tests.benchmarks.report import Cost, Report
from tests.benchmarks.stack import CONNECTIONS, Make, Stack, chat

MANY = 100_000
STEADY = 1.15  # a ratio up to this is what two equal rows differ by on a shared machine


def start(report: Report, stack: Stack) -> None:
    """Cold start to ready, the median of five."""
    times = []
    for _ in range(5):
        one = stack.another()
        times.append(one.started)
        one.stop()
    median = statistics.median(times)
    report.claim(
        "start", "spawn to ready", f"{median:.2f} s (least {min(times):.2f})", "≤ 1.0 s", median <= 1.0
    )


def memory(stack: Stack, report: Report, requests: int, seconds: float) -> None:
    """Growth over `requests` of all kinds, or as many as fit into `seconds`."""
    one = stack.another()
    started = one.memory()
    kinds = {kind: chat(stack.key, kind) for kind in ("miss", "hit", "plain", "stream")}

    def mixed(number: int) -> bytes:
        kind = ("miss", "hit", "plain", "miss", "hit", "miss", "plain", "hit", "miss", "stream")[number % 10]
        return kinds[kind](number)

    load(one.port, mixed, 5_000, CONNECTIONS)
    warm, done, began = one.memory(), 0, time.monotonic()
    while done < requests and time.monotonic() - began < seconds:
        result = load(one.port, mixed, 10_000, CONNECTIONS)
        if result.failures:
            raise SystemExit(f"memory: {result.failures} requests failed; nothing was measured.")
        done += 10_000
    grown = one.memory() - warm
    told = (
        f"{grown:+.1f} MB ({started:.1f} after start, {warm:.1f} after 5,000, {warm + grown:.1f} after all)"
    )
    report.claim("memory", f"growth over {done:,} requests", told, "≤ 5 MB", grown <= 5)
    one.stop()


def keys(stack: Stack, report: Report) -> None:
    """10 keys in use against 100,000, each of them known to the process."""
    few = [new_key() for _ in range(10)]
    many = [new_key() for _ in range(MANY)]
    asyncio.run(_insert(stack.database, [*few, *many]))
    one = stack.another(AUTH_FRESH_SECONDS="3600")

    def uses(pool: list[str]) -> Make:
        makers = [chat(key, "plain") for key in pool[:1]]
        body = makers[0](0)
        halves = body.split(pool[0].encode())
        return lambda number: pool[number % len(pool)].encode().join(halves)

    load(one.port, uses(many), MANY, CONNECTIONS)
    pair = [
        Row("10 keys", one, uses(few), 2000),
        Row("100,000 keys", one, _shuffled(uses(many)), 2000),
    ]
    _steady(report, "keys", interleaved(pair, 6))
    report.claim("memory", "RSS with 100,000 known keys", f"{one.memory():.0f} MB")
    one.stop()


async def _insert(database: str, made: list[str]) -> None:
    connection = await asyncpg.connect(database)
    rows = [
        (f"key_{number:08x}", f"key_{number:08x}", "bench", key[:PREFIX_LENGTH], digest(key), ["chat"])
        for number, key in enumerate(made)
    ]
    columns = ["id", "account", "name", "prefix", "hash", "permissions"]
    await connection.copy_records_to_table("api_keys", records=rows, columns=columns)
    await connection.close()


def _shuffled(make: Make) -> Make:
    chosen = random.Random(1)
    return lambda number: make(chosen.randrange(MANY))


def cached(stack: Stack, report: Report) -> None:
    """Hits of 10 different cached answers, before and after 99,990 more are in the cache."""
    body = chat(stack.key, "hit")(0)
    head, _, json = body.partition(b"\r\n\r\n")
    marked = json.replace(b"What is", b"%08d is", 1)
    asked = head.replace(b"content-length: %d" % len(json), b"content-length: %d" % (len(json) + 4))
    asked += b"\r\n\r\n"

    def of(count: int) -> Make:
        chosen = random.Random(2)
        return lambda number: asked + marked % chosen.randrange(count)

    load(stack.gateway.port, of(10), 200, CONNECTIONS)
    before = [once(Row("10 entries", stack.gateway, of(10), 2000))[0] for _ in range(4)]
    load(stack.gateway.port, lambda number: asked + marked % (number % MANY), MANY, CONNECTIONS)
    pair = [
        Row("10 entries", stack.gateway, of(10), 2000),
        Row("100,000 entries", stack.gateway, of(MANY), 2000),
    ]
    _steady(report, "cached", interleaved(pair, 6))
    report.claim("cached", "10 entries, before the others came", f"{statistics.median(before):.0f} µs")


def providers(stack: Stack, report: Report) -> None:
    """One configured provider against fifty."""
    fifty = stack.another(providers=50)
    pair = [
        Row("1 provider", stack.gateway, chat(stack.key, "plain"), 1500),
        Row("50 providers", fifty, chat(stack.key, "plain"), 1500),
    ]
    _steady(report, "providers", interleaved(pair, 6))
    fifty.stop()


def sharing(stack: Stack, report: Report) -> None:
    """What a miss costs when processes wait for each other's identical calls, which is off by default."""
    waiting = stack.another(CACHE_SHARE_SECONDS="10")
    rows = [
        Row("processes do not wait", stack.gateway, chat(stack.key, "miss"), 1500),
        Row("processes wait", waiting, chat(stack.key, "miss"), 1500),
    ]
    alone, claimed = interleaved(rows, 8)
    value = f"{claimed.median:.0f} against {alone.median:.0f} µs ({claimed.ratio:.2f} ×)"
    report.claim("sharing", "a miss that claims its key against one that does not", value)
    waiting.stop()


def processes(stack: Stack, report: Report) -> None:
    """Two processes against one.

    Throughput can only double where there is a core for each: two gateways, two generators of load, upstream,
    Valkey and Postgres want six. What can be told anywhere is that the second process takes nothing from the
    first: a request costs the same while both work as while one does, each at the same rate, through the same
    Valkey, Postgres and upstream. Then cores bound the throughput, and nothing that the processes share.
    """
    second, cores = stack.another(), os.cpu_count() or 1
    gateways = (stack.gateway, second)
    once(Row("warm", second, chat(stack.key, "plain"), 500))
    saturation = max(
        [once(Row("one", stack.gateway, chat(stack.key, "plain"), 3000))[1].rate for _ in range(2)]
    )
    rate = saturation / 4  # so that both, their load and what they call fit on two cores
    total = int(rate * 3)
    ratios: list[float] = []
    costs: list[tuple[float, float]] = []
    for turn in range(6):
        one = gateways[turn % 2]
        single = _paced_cost((one,), stack.key, total, rate)
        both = _paced_cost(gateways, stack.key, total, rate)
        costs.append((single, both))
        ratios.append(both / single)
    single, both = (statistics.median(of) for of in zip(*costs, strict=True))
    ratio = statistics.median(ratios)
    value = f"{both:.0f} against {single:.0f} µs: {ratio:.2f} × (each at {rate:.0f} requests/s)"
    report.claim("processes", "CPU per request, two against one", value, "≤ 1.1 ×", ratio <= 1.1)
    if cores < 6:
        told = f"not told: {cores} cores for two gateways, their load, upstream and stores"
        report.claim("processes", "throughput, two against one", told, "≥ 1.8 ×")
    else:
        began = time.perf_counter()
        _load_apart(gateways, stack.key, 6000, 0.0)
        speed = 12_000 / (time.perf_counter() - began) / saturation
        report.claim("processes", "throughput, two against one", f"{speed:.2f} ×", "≥ 1.8 ×", speed >= 1.8)
    second.stop()


def _paced_cost(gateways: tuple[Measured, ...], key: str, total: int, rate: float) -> float:
    """CPU microseconds a request while each of these gets `total` at `rate`."""
    before = sum([one.cpu() for one in gateways])
    _load_apart(gateways, key, total, rate)
    return (sum([one.cpu() for one in gateways]) - before) / (total * len(gateways)) * 1e6


def _load_apart(gateways: tuple[Measured, ...], key: str, total: int, rate: float) -> None:
    """Load each from a process of its own: one generator cannot drive two gateways. As fast as they answer at
    the rate 0. Fails when a request was not answered 200.
    """
    program = (
        "import sys; from tests.benchmarks.load import load, paced; from tests.benchmarks.stack import chat; "
        "port, total, rate, make = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), "
        "chat(sys.argv[4], 'plain'); "
        "found = paced(port, make, total, 16, rate) if rate else load(port, make, total, 16); "
        "sys.exit(found.failures != 0)"
    )
    command = [sys.executable, "-c", program]
    running = [
        subprocess.Popen([*command, str(one.port), str(total), str(rate), key], cwd=ROOT) for one in gateways
    ]
    if max([one.wait() for one in running]):
        raise SystemExit("processes: requests failed; nothing was measured.")


def _steady(report: Report, part: str, pair: list[Cost]) -> None:
    few, many = pair
    value = f"{many.median:.0f} against {few.median:.0f} µs: {many.ratio:.2f} ×"
    report.claim(part, f"{many.name} against {few.name}", value, "does not grow", many.ratio <= STEADY)
