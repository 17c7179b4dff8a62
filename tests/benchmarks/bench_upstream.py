"""What one upstream call costs: our client beside aiohttp and httpx, in one run on one machine.

    python -m tests.benchmarks.bench_upstream [--calls 5000] [--json]

CPU microseconds of this process per call (user + system), against a server in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

from service.providers.sse import SSEParser
from service.upstream.client import Client
from service.upstream.origin import parse_origin
from tests.parts import free_port, port_open, wait_until

BODY = json.dumps({"id": "x", "choices": [{"message": {"content": "word " * 60}}]}).encode()
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
EVENT = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
EVENTS = 22
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
REQUEST = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello " * 20}]}).encode()
CONNECTIONS = 16

Call = Callable[[], Awaitable[None]]


class Server(asyncio.Protocol):
    """Answers every POST; a path that ends in /stream gets events, each in a write of its own."""

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            transport: asyncio.Transport = self.transport  # type: ignore[assignment]
            if b"/stream " in head[:60]:
                transport.write(STREAM)
                for _ in range(EVENTS):
                    transport.write(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
                transport.write(b"0\r\n\r\n")
            else:
                transport.write(WHOLE)


def serve(port: int) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", port)
        await server.serve_forever()

    uvloop.run(run())


async def measure(call: Call, calls: int) -> dict[str, float]:
    async def worker(count: int) -> None:
        for _ in range(count):
            await call()

    await asyncio.gather(*[worker(20) for _ in range(CONNECTIONS)])
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*[worker(calls // CONNECTIONS) for _ in range(CONNECTIONS)])
    done = calls // CONNECTIONS * CONNECTIONS
    return {
        "cpu_us": (time.process_time() - cpu) / done * 1e6,
        "per_second": done / (time.perf_counter() - wall),
    }


async def ours(base: str, calls: int) -> dict[str, dict[str, float]]:
    client = Client(parse_origin(base, allow_private=True), allow_private=True)
    headers = {"content-type": "application/json", "authorization": "Bearer x"}
    whole, stream = client.head("POST", "/whole", headers), client.head("POST", "/stream", headers)

    async def ask() -> None:
        response = await client.request(whole, REQUEST, time.monotonic() + 30)
        assert response.body == BODY

    async def listen() -> None:
        due = time.monotonic() + 30
        response = await client.stream(stream, REQUEST, due)
        parser, seen = SSEParser(), 0
        while data := await response.read(due):
            seen += len(parser.feed(data))
        assert seen == EVENTS

    result = {"whole": await measure(ask, calls), "stream": await measure(listen, calls // 2)}
    await client.close()
    return result


async def aiohttps(base: str, calls: int) -> dict[str, dict[str, float]]:
    import aiohttp

    headers = {"content-type": "application/json", "authorization": "Bearer x"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def ask() -> None:
            async with session.post(base + "/whole", data=REQUEST) as response:
                assert await response.read() == BODY

        async def listen() -> None:
            async with session.post(base + "/stream", data=REQUEST) as response:
                parser, seen = SSEParser(), 0
                async for data in response.content.iter_any():
                    seen += len(parser.feed(data))
                assert seen == EVENTS

        return {"whole": await measure(ask, calls), "stream": await measure(listen, calls // 2)}


async def httpxs(base: str, calls: int) -> dict[str, dict[str, float]]:
    import httpx

    headers = {"content-type": "application/json", "authorization": "Bearer x"}
    async with httpx.AsyncClient(headers=headers, trust_env=False) as client:

        async def ask() -> None:
            response = await client.post(base + "/whole", content=REQUEST)
            assert response.content == BODY

        async def listen() -> None:
            async with client.stream("POST", base + "/stream", content=REQUEST) as response:
                parser, seen = SSEParser(), 0
                async for data in response.aiter_raw():
                    seen += len(parser.feed(data))
                assert seen == EVENTS

        return {"whole": await measure(ask, calls // 10), "stream": await measure(listen, calls // 20)}


def run(calls: int) -> dict[str, dict[str, dict[str, float]]]:
    """Client -> kind of call -> figures."""
    port = free_port()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(port,), daemon=True)
    server.start()
    try:
        wait_until(lambda: port_open(port), "the benchmark's server listens")
        base = f"http://127.0.0.1:{port}/v1"
        return {
            "superagent": uvloop.run(ours(base, calls)),
            "aiohttp": uvloop.run(aiohttps(base, calls)),
            "httpx": uvloop.run(httpxs(base, calls)),
        }
    finally:
        server.terminate()
        server.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--calls", type=int, default=5_000, help="calls per client and kind")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    options = parser.parse_args()
    results = run(options.calls)
    if options.json:
        print(json.dumps(results))
        return
    print(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {CONNECTIONS} connections")
    print(f"{'client':12}{'call':8}{'CPU µs':>9}{'calls/s':>9}{'ratio':>8}")
    for name, kinds in results.items():
        for kind, figures in kinds.items():
            ratio = figures["cpu_us"] / results["superagent"][kind]["cpu_us"]
            row = f"{name:12}{kind:8}{figures['cpu_us']:9.1f}{figures['per_second']:9.0f}{ratio:8.1f}"
            print(row)


if __name__ == "__main__":
    sys.exit(main())
