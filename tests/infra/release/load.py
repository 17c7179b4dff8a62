"""Clients that keep asking through the load balancer and remember every failure, when it was and why."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import aiohttp

REQUEST_SECONDS = 60
"""No request takes so long: one that does has failed."""
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

    def told(self) -> str:
        """For a person: how much was answered by whom, and each failure (the first fifty)."""
        answers = ", ".join(f"{count} by {build}" for build, count in sorted(self.answers.items()))
        lines = [f"{self.streams} streams, {len(self.failures)} failures, answers: {answers or 'none'}"]
        return "\n  ".join([*lines, *self.failures[:50]])


@dataclass
class Load:
    """Traffic in a thread of its own, from `start` to `stop`."""

    url: str
    key: str
    clients: int = 8
    streamers: int = 2
    stream_seconds: float = 5.0
    log: Path | None = None
    """Gets each failure at once, so that it is known even when the test is ended from outside."""
    stage: str = ""
    """What the test is doing, for the failures that happen meanwhile."""
    tally: Tally = field(default_factory=Tally)
    _began: float = 0.0
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Load:
        self._began = time.monotonic()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            if error is not None:
                error.add_note(f"The clients saw: {self.tally.told()}")

    def stop(self) -> Tally:
        """Let open requests end, start no new ones."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(REQUEST_SECONDS + 30)
            assert not self._thread.is_alive(), f"a request hangs; {self.tally.told()}"
        return self.tally

    async def _run(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        # No cookies: every request is placed by weight, as with most API clients.
        async with aiohttp.ClientSession(
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
        ) as session:
            short = [self._ask(session) for _ in range(self.clients)]
            await asyncio.gather(*short, *(self._stream(session) for _ in range(self.streamers)))

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                async with session.post(f"{self.url}/v1/chat/completions", json=SHORT) as answer:
                    body = await answer.read()
                    self._count("request", answer, body, began)
            except (aiohttp.ClientError, TimeoutError, ValueError) as failed:
                self._fail("request", f"{type(failed).__name__}: {failed}", began)
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
            began = time.monotonic()
            try:
                async with session.post(f"{self.url}/v1/chat/completions", json=wanted) as answer:
                    lines = (await answer.read()).decode().splitlines()
                    self._count("stream", answer, b"", began)
                    events = [line for line in lines if line.startswith("data:")]
                    if answer.status == 200 and (not events or events[-1] != "data: [DONE]"):
                        self._fail("stream", f"broke off after {events[-1:]}, {_of(answer)}", began)
                    self.tally.streams += 1
            except (aiohttp.ClientError, TimeoutError, ValueError) as failed:
                self._fail("stream", f"{type(failed).__name__}: {failed}", began)

    def _count(self, kind: str, answer: aiohttp.ClientResponse, body: bytes, began: float) -> None:
        build = answer.headers.get("build", "?")
        self.tally.answers[build] += 1
        self.tally.seen.append((time.monotonic(), build))
        if answer.status != 200:
            self._fail(kind, f"{answer.status} from {_of(answer)}: {body[:200]!r}", began)
        elif body:
            json.loads(body)

    def _fail(self, kind: str, why: str, began: float) -> None:
        now = time.monotonic()
        meanwhile = f" ({self.stage})" if self.stage else ""
        line = f"{kind} of {began - self._began:.1f} s to {now - self._began:.1f} s{meanwhile}: {why}"
        self.tally.failures.append(line)
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(line + "\n")


def _of(answer: aiohttp.ClientResponse) -> str:
    """Who answered, so that the service's log of this request can be found."""
    return f"{answer.headers.get('build', '?')}, request {answer.headers.get('x-request-id', '?')}"
