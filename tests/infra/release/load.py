"""Clients that keep asking through the load balancer and remember every failure."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

SHORT = {"model": "simulator", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}


@dataclass
class Tally:
    """What the clients saw."""

    answers: Counter[str] = field(default_factory=Counter)
    """By the `build` header."""
    streams: int = 0
    failures: list[str] = field(default_factory=list)
    seen: list[tuple[float, str]] = field(default_factory=list)
    """(time, build) of every answer."""


@dataclass
class Load:
    """Traffic in a thread of its own, from `start` to `stop`."""

    url: str
    key: str
    clients: int = 8
    streamers: int = 2
    stream_seconds: float = 5.0
    tally: Tally = field(default_factory=Tally)
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Load:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> Tally:
        """Let open requests end, start no new ones."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(60)
            assert not self._thread.is_alive(), "a request hangs"
        return self.tally

    async def _run(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        # No cookies: every request is placed by weight, as with most API clients.
        async with aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as session:
            short = [self._ask(session) for _ in range(self.clients)]
            await asyncio.gather(*short, *(self._stream(session) for _ in range(self.streamers)))

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        while not self._ending.is_set():
            try:
                async with session.post(f"{self.url}/v1/chat/completions", json=SHORT) as answer:
                    body = await answer.read()
                    self._count(answer, body)
            except (aiohttp.ClientError, TimeoutError) as failed:
                self.tally.failures.append(f"{type(failed).__name__}: {failed}")
            await asyncio.sleep(0.02)

    async def _stream(self, session: aiohttp.ClientSession) -> None:
        words = max(4, int(self.stream_seconds * 10))
        wanted = {
            "model": "simulator/lorem;rate=10",
            "messages": [{"role": "user", "content": "Go on."}],
            "max_tokens": words,
            "stream": True,
        }
        while not self._ending.is_set():
            try:
                async with session.post(f"{self.url}/v1/chat/completions", json=wanted) as answer:
                    lines = (await answer.read()).decode().splitlines()
                    self._count(answer, b"")
                    events = [line for line in lines if line.startswith("data:")]
                    if answer.status == 200 and (not events or events[-1] != "data: [DONE]"):
                        self.tally.failures.append(f"broken stream: {events[-1:]}")
                    self.tally.streams += 1
            except (aiohttp.ClientError, TimeoutError) as failed:
                self.tally.failures.append(f"stream {type(failed).__name__}: {failed}")

    def _count(self, answer: aiohttp.ClientResponse, body: bytes) -> None:
        build = answer.headers.get("build", "?")
        self.tally.answers[build] += 1
        self.tally.seen.append((time.monotonic(), build))
        if answer.status != 200:
            self.tally.failures.append(f"{answer.status} from {build}: {body[:200]!r}")
        elif body:
            json.loads(body)
