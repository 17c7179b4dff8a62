"""Mixed load that remembers each answered request, and when and why any other was not."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

PAUSE_SECONDS: Final = 0.1
LONGEST_SECONDS: Final = 60.0
"""A request that takes longer hangs, and counts as a failure."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request and what its answer must be."""

    name: str
    share: int
    path: str
    body: Callable[[int], Any]
    status: int = 200
    ledger: bool = True
    """An answer has a usage row."""
    ends: bytes = b""
    """A stream's last line."""
    headers: dict[str, str] = field(default_factory=dict)


def _chat(text: str, model: str = "echo", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


CHAT: Final = "/v1/chat/completions"
KINDS: Final = (
    Kind("whole", 30, CHAT, lambda n: _chat(f"request {n}")),
    Kind("cached", 25, CHAT, lambda n: _chat(f"known {n % 20}", temperature=0)),
    Kind(
        "stream",
        20,
        CHAT,
        lambda n: _chat(f"stream {n}", "lorem;tokens=20;rate=20", stream=True),
        ends=b"data: [DONE]",
    ),
    Kind(
        "long stream",
        5,
        CHAT,
        lambda n: _chat(f"long {n}", "lorem;tokens=60;rate=10", stream=True),
        ends=b"data: [DONE]",
    ),
    Kind("messages", 12, "/v1/messages", lambda n: _chat(f"message {n}", max_tokens=16)),
    Kind("bad body", 4, CHAT, lambda n: {"model": "echo", "messages": n}, 400, ledger=False),
    Kind(
        "bad key",
        4,
        CHAT,
        lambda n: _chat("who am I"),
        401,
        ledger=False,
        headers={"Authorization": "Bearer sk-nobody"},
    ),
)


@dataclass(slots=True)
class Failure:
    """A request that was not answered as it must be."""

    at: float
    kind: str
    why: str


@dataclass(slots=True)
class Seen:
    """What the clients saw. Times are seconds of `time.monotonic`."""

    answered: Counter[str] = field(default_factory=Counter)
    rows: dict[str, float] = field(default_factory=dict)
    """Request ids that must have exactly one usage row, and when the answer was whole."""
    failures: list[Failure] = field(default_factory=list)
    builds: Counter[str] = field(default_factory=Counter)


class Traffic:
    """Clients in a thread of their own, from `with` to its end."""

    def __init__(self, url: str, key: str, connections: int, seed: int) -> None:
        self.seen = Seen()
        self._url = url
        self._key = key
        self._connections = connections
        self._chance = random.Random(seed)
        self._numbers = itertools.count()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(LONGEST_SECONDS + 30)

    async def _run(self) -> None:
        limit = aiohttp.ClientTimeout(total=LONGEST_SECONDS)
        jar = aiohttp.DummyCookieJar()  # most API clients keep none
        async with aiohttp.ClientSession(timeout=limit, cookie_jar=jar) as session:
            await asyncio.gather(*(self._client(session) for _ in range(self._connections)))

    async def _client(self, session: aiohttp.ClientSession) -> None:
        shares = [kind.share for kind in KINDS]
        while not self._ending.is_set():
            [kind] = self._chance.choices(KINDS, shares)
            try:
                why = await self._one(session, kind)
            except TimeoutError:
                why = f"no answer within {LONGEST_SECONDS:.0f} s"
            except aiohttp.ClientError as failed:
                why = type(failed).__name__
            if why:
                self.seen.failures.append(Failure(time.monotonic(), kind.name, why))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _one(self, session: aiohttp.ClientSession, kind: Kind) -> str:
        """Empty when the answer was whole and as it must be."""
        headers = {"Authorization": f"Bearer {self._key}", **kind.headers}
        body = kind.body(next(self._numbers))
        async with session.post(self._url + kind.path, json=body, headers=headers) as answer:
            text = await answer.read()
            if answer.status != kind.status:
                return f"status {answer.status}"
            if kind.ends and not text.rstrip().endswith(kind.ends):
                return "broken stream"
            self.seen.answered[kind.name] += 1
            self.seen.builds[answer.headers.get("build", "?")] += 1
            if kind.ledger:
                self.seen.rows[answer.headers["x-request-id"]] = time.monotonic()
            return ""
