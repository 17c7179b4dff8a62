"""`make bench`: the gateway beside its floor and its peers, in one run, as a table with ratios.

    python -m tests.benchmarks                    the gateway, its floor, its growth; about two minutes
    python -m tests.benchmarks --peers            LiteLLM and Portkey too (installed apart, once)
    python -m tests.benchmarks --requests 20000   more of everything

CPU per request is what counts: it is steadier than requests per second on a machine that does other things.
Everything runs on loopback; real Postgres and Valkey are started for it.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from service.storage.migrate import migrate
from tests.benchmarks import peers
from tests.benchmarks.load import Result, load, post
from tests.benchmarks.processes import ROOT, Measured, python
from tests.parts import free_port
from tests.service.running import create_key
from tests.service.stores import postgres, valkey

CONNECTIONS = 32
EVERYTHING_ON = {
    "LIMIT_GLOBAL_PER_MINUTE": "90000000",
    "LIMIT_CLIENT_PER_MINUTE": "90000000",
    "LIMIT_CLIENT_TOKENS_PER_MINUTE": "900000000",
    "LIMIT_ENDPOINTS": '{"/v1/chat/completions": 90000000}',
}


@dataclass
class Row:
    """One line of the table; `cpu` is microseconds a request."""

    name: str
    cpu: float
    result: Result
    memory: float = 0.0
    started: float = 0.0


def measure(name: str, target: Measured, make: Callable[[int], bytes], total: int, connections: int) -> Row:
    """Warm up, then count CPU over `total` requests. Fails on any request that was not answered 200."""
    load(target.port, make, max(200, total // 20), connections)
    before = target.cpu()
    result = load(target.port, make, total, connections)
    cpu = (target.cpu() - before) / total * 1e6
    if result.failures:
        raise SystemExit(f"{name}: {result.failures} of {total} requests failed; nothing was measured.")
    return Row(name, cpu, result, target.memory(), target.started)


def chat(key: str, kind: str, headers: str = "") -> Callable[[int], bytes]:
    """Requests: `miss` are all different, `hit` all the same, `plain` not to be cached, `stream` streamed."""
    serial = 0

    def make(number: int) -> bytes:
        nonlocal serial
        serial += 1
        text = "What is the answer to everything, in a sentence or two?"
        body: dict[str, object] = {"model": "bench", "messages": [{"role": "user", "content": text}]}
        if kind == "miss":
            body["messages"] = [{"role": "user", "content": f"{text} {serial}"}]
        if kind in ("miss", "hit"):
            body["temperature"] = 0
        if kind == "stream":
            body["stream"] = True
        return post("/v1/chat/completions", json.dumps(body).encode(), key, headers)

    return make


def hello(number: int) -> bytes:
    return b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


def gateway(folder: Path, database: str, redis: str, upstream: int, providers: int = 1) -> Measured:
    """`python -m service` with everything on and `providers` upstream accounts."""
    names = ["up", *[f"spare{number}" for number in range(1, providers)]]
    config = {
        "providers": [
            {
                "name": name,
                "kind": "openai",
                "flavour": "generic",
                "base_url": f"http://127.0.0.1:{upstream}/v1",
                "allow_private": True,
                "models": ["bench" if name == "up" else f"bench-{name}"],
                "prices": {"bench": {"input": 1.0, "output": 2.0}} if name == "up" else {},
            }
            for name in names
        ]
    }
    (folder / "providers.json").write_text(json.dumps(config))
    port = free_port()
    environ = {
        "DATABASE_URL": database,
        "REDIS_URL": redis,
        "PORT": str(port),
        "METRICS_PORT": str(free_port()),
        "JOURNAL_DIR": str(folder / f"journal-{port}"),
        "PROVIDERS_FILE": str(folder / "providers.json"),
        "DRAIN_NOTICE_SECONDS": "0",
        **EVERYTHING_ON,
    }
    named = {f"SUPERAGENT_{name}": value for name, value in environ.items()}
    return Measured(python("service"), port, "/health/ready", named, 60, folder / "gateway.log")


def show(console: Console, rows: list[Row], floor: float) -> None:
    table = Table(title=f"{CONNECTIONS} connections, one process each; CPU is the process's own")
    for column in ("", "CPU µs/request", "× floor", "requests/s", "p50 ms", "p99 ms", "RSS MB", "start s"):
        table.add_column(column, justify="left" if not column else "right")
    for row in rows:
        events = row.result.events
        name = row.name
        if events:
            name += f" ({row.cpu * len(row.result.latencies) / events:.0f} µs an event)"
        table.add_row(
            name,
            f"{row.cpu:,.0f}",
            f"{row.cpu / floor:.1f}",
            f"{row.result.rate:,.0f}",
            f"{row.result.percentile(0.5) * 1e3:.2f}",
            f"{row.result.percentile(0.99) * 1e3:.2f}",
            f"{row.memory:.0f}",
            f"{row.started:.2f}",
        )
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--requests", type=int, default=8000, help="requests of each measurement")
    parser.add_argument("--peers", action="store_true", help="measure LiteLLM and Portkey too")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args()
    console = Console(stderr=options.json, width=120, highlight=False)
    total = options.requests
    optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    build = "optimised" if optimised else "not an optimised build: slower"
    console.print(f"Python {platform.python_version()} ({build})")
    running: list[Measured] = []
    with tempfile.TemporaryDirectory() as name, postgres() as store, valkey() as redis:
        folder = Path(name)
        try:
            rows = collect(console, folder, store.url, redis.url, total, running, options.peers)
        finally:
            for one in running:
                one.stop()
    floor = rows[0].cpu
    show(console, rows, floor)
    if options.json:
        json.dump(
            [
                {
                    "name": row.name,
                    "cpu_us": round(row.cpu, 1),
                    "times_floor": round(row.cpu / floor, 2),
                    "requests_per_second": round(row.result.rate),
                    "p50_ms": round(row.result.percentile(0.5) * 1e3, 3),
                    "p99_ms": round(row.result.percentile(0.99) * 1e3, 3),
                    "memory_mb": round(row.memory, 1),
                    "start_seconds": round(row.started, 2),
                }
                for row in rows
            ],
            sys.stdout,
            indent=2,
        )
    return 0


def collect(
    console: Console,
    folder: Path,
    database: str,
    redis: str,
    total: int,
    running: list[Measured],
    others: bool,
) -> list[Row]:
    """Every row; the floor is the first and is measured again at the end, as a check on the machine."""

    def begin(one: Measured) -> Measured:
        running.append(one)
        return one

    migrate(database)
    key = create_key(database, "chat")
    ports = [free_port(), free_port()]
    floor = begin(Measured(python("tests.benchmarks.apps", "hello", str(ports[0])), ports[0], "/"))
    upstream = begin(Measured(python("tests.benchmarks.apps", "upstream", str(ports[1])), ports[1], "/"))
    ours = begin(gateway(folder, database, redis, upstream.port))
    rows = [
        measure("floor: plain ASGI hello", floor, hello, total * 2, CONNECTIONS),
        measure("upstream, called directly", upstream, chat("x", "plain"), total, CONNECTIONS),
        measure("gateway: miss", ours, chat(key, "miss"), total, CONNECTIONS),
        measure("gateway: hit", ours, chat(key, "hit"), total, CONNECTIONS),
        measure("gateway: not cacheable", ours, chat(key, "plain"), total, CONNECTIONS),
        measure("gateway: stream", ours, chat(key, "stream"), total // 4, CONNECTIONS),
        measure("gateway: miss, 1 connection", ours, chat(key, "miss"), total // 4, 1),
        measure("upstream, 1 connection", upstream, chat("x", "plain"), total // 4, 1),
        measure("floor, again", floor, hello, total * 2, CONNECTIONS),
    ]
    if others:
        home = ROOT / ".superagent" / "bench"
        home.mkdir(parents=True, exist_ok=True)
        rows += peer_rows(console, home, upstream.port, total, begin)
    return rows


def peer_rows(
    console: Console, home: Path, upstream: int, total: int, begin: Callable[[Measured], Measured]
) -> list[Row]:
    rows = []
    few = max(200, total // 20)
    try:
        process, key = peers.litellm(home, upstream)
        rows.append(measure("LiteLLM: pass", begin(process), chat(key, "plain"), few, CONNECTIONS))
        rows.append(measure("LiteLLM: stream", process, chat(key, "stream"), few // 2, CONNECTIONS))
    except peers.Unobtainable as reason:
        console.print(f"LiteLLM is not in this run: {reason}.")
    try:
        process, headers = peers.portkey(home, upstream)
        rows.append(
            measure("Portkey: pass", begin(process), chat("x", "plain", headers), few * 4, CONNECTIONS)
        )
        rows.append(measure("Portkey: stream", process, chat("x", "stream", headers), few * 2, CONNECTIONS))
    except peers.Unobtainable as reason:
        console.print(f"Portkey is not in this run: {reason}.")
    return rows


if __name__ == "__main__":
    sys.exit(main())
