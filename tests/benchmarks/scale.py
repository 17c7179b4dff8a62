"""What must not grow: memory with requests, cost with keys, cached answers, providers and processes."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import subprocess
import sys
import threading
import time

import asyncpg

from service.auth.keys import PREFIX_LENGTH, digest, new_key
from tests.benchmarks.cost import Row, interleaved, once
from tests.benchmarks.load import load
from tests.benchmarks.processes import ROOT
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


def processes(stack: Stack, report: Report) -> None:
    """Two processes against one: the cost per request, and the throughput where there are cores for it."""
    second = stack.another()
    alone = [once(Row("one", stack.gateway, chat(stack.key, "plain"), 3000)) for _ in range(3)]
    before = stack.gateway.cpu() + second.cpu()
    began = time.perf_counter()
    ports = (stack.gateway.port, second.port)
    threads = [threading.Thread(target=_load_apart, args=(port, stack.key, 6000)) for port in ports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = 12_000 / (time.perf_counter() - began)
    shared = (stack.gateway.cpu() + second.cpu() - before) / 12_000 * 1e6
    single = statistics.median([cpu for cpu, _ in alone])
    speed = rate / max(result.rate for _, result in alone)
    cores = os.cpu_count() or 1
    # Two gateways, two generators of load, upstream, Valkey and Postgres want a core each.
    enough = cores >= 6
    told = "" if enough else f" ({cores} cores, and the rest of the run on them too: says nothing)"
    value = f"{shared:.0f} against {single:.0f} µs{told}"
    same = shared <= single * STEADY if enough else None
    report.claim("processes", "CPU per request, two against one", value, "equal", same)
    faster = speed >= 1.8 if enough else None
    report.claim("processes", "throughput, two against one", f"{speed:.2f} ×{told}", "≥ 1.8 ×", faster)
    second.stop()


def _load_apart(port: int, key: str, total: int) -> None:
    """Load from a process of its own: one generator cannot drive two gateways."""
    program = (
        "import sys; from tests.benchmarks.load import load; from tests.benchmarks.stack import chat; "
        "load(int(sys.argv[1]), chat(sys.argv[2], 'plain'), int(sys.argv[3]), 16)"
    )
    subprocess.run([sys.executable, "-c", program, str(port), key, str(total)], check=True, cwd=ROOT)


def _steady(report: Report, part: str, pair: list[Cost]) -> None:
    few, many = pair
    value = f"{many.median:.0f} against {few.median:.0f} µs: {many.ratio:.2f} ×"
    report.claim(part, f"{many.name} against {few.name}", value, "does not grow", many.ratio <= STEADY)
