"""An HTTP/1.1 load generator: N keep-alive connections, each with one request at a time, as fast as they are
answered (`load`) or at a given rate (`paced`).

Small on purpose: it must cost much less than what it measures. Whole answers end by Content-Length, streams
by their last chunk. Only loopback is ever addressed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import uvloop

TICK = 0.001  # seconds; what is due within one is sent at once
LAST_CHUNK = b"\r\n0\r\n\r\n"


@dataclass
class Result:
    """Latencies in seconds, in order of completion; `events` counts server-sent events."""

    latencies: list[float] = field(default_factory=list)
    failures: int = 0
    events: int = 0
    seconds: float = 0.0

    def percentile(self, part: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0


class _Client(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._buffer = bytearray()
        self._needed = -1  # bytes of head and body; -1 until the head is known, -2 for chunked
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        if self._run.rate and not self._run.due():
            self._run.idle.append(self)
            return
        self.go()

    def go(self) -> None:
        """Send the next request, or leave when there is none."""
        request = self._run.next_request()
        if request is None:
            self._transport.close()
            return
        self._buffer.clear()
        self._needed = -1
        self._began = self._run.began()
        self._transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if self._needed == -1:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(buffer[:end]).lower()
            at = head.find(b"content-length:")
            if at >= 0:
                self._needed = end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
            else:
                self._needed = -2
        if self._needed == -2:
            if not buffer.endswith(LAST_CHUNK):
                return
            self._run.result.events += buffer.count(b"data: ")
        elif len(buffer) < self._needed:
            return
        self._run.done(time.perf_counter() - self._began, buffer.startswith(b"HTTP/1.1 200"))
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.lost()


class _Run:
    def __init__(self, make: Callable[[int], bytes], total: int, connections: int, rate: float) -> None:
        self._make = make
        self._total = total
        self._sent = 0
        self._open = connections
        self.rate = rate
        self.idle: list[_Client] = []
        self._began = time.perf_counter()
        self.result = Result()
        self.finished = asyncio.Event()

    def due(self) -> bool:
        """Whether the next request's moment has come; at the end all are due, to close."""
        return self._sent >= self._total or self._sent <= (time.perf_counter() - self._began) * self.rate

    def began(self) -> float:
        """When the request that leaves now began: at a given rate at its own moment, if it had to wait longer
        for a free connection than the pace is fine. Else a slow answer would hide those behind it.
        """
        now = time.perf_counter()
        if not self.rate:
            return now
        due = self._began + (self._sent - 1) / self.rate
        return due if now - due > 2 * TICK else now

    async def pace(self) -> None:
        """Give idle connections what is due, about each millisecond."""
        while not self.finished.is_set():
            while self.idle and self.due():
                self.idle.pop().go()
            await asyncio.sleep(TICK)

    def next_request(self) -> bytes | None:
        if self._sent >= self._total:
            return None
        self._sent += 1
        return self._make(self._sent)

    def done(self, seconds: float, good: bool) -> None:
        self.result.latencies.append(seconds)
        if not good:
            self.result.failures += 1

    def lost(self) -> None:
        self._open -= 1
        if self._open == 0:
            self.finished.set()


async def _go(
    port: int, make: Callable[[int], bytes], total: int, connections: int, rate: float = 0.0
) -> Result:
    run = _Run(make, total, connections, rate)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: _Client(run), "127.0.0.1", port)
    if rate:
        await run.pace()
    await run.finished.wait()
    run.result.seconds = time.perf_counter() - began
    return run.result


def load(port: int, make: Callable[[int], bytes], total: int, connections: int) -> Result:
    """Send `total` requests made by `make(number)` over `connections` connections."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_go(port, make, total, connections))


def paced(port: int, make: Callable[[int], bytes], total: int, connections: int, rate: float) -> Result:
    """As `load`, at `rate` requests a second; `connections` bound how many are open at once."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_go(port, make, total, connections, rate))


def post(path: str, body: bytes, key: str, headers: str = "") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    ).encode() + body
