"""Sends recorded traces to an OTLP/HTTP receiver, beside requests and never in their way.

What waits is bounded: when the receiver is slow or gone, the newest traces are left out and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Final
from urllib.parse import urlsplit

from service.background import forever
from service.telemetry.logs import JsonLog
from service.telemetry.traces import Attributes, Recording
from service.upstream.client import Client
from service.upstream.errors import UpstreamError
from service.upstream.origin import parse_origin
from service.upstream.response import Response

PATH: Final = "/v1/traces"
MOST_WAITING: Final = 4096  # spans, about 2 KB each
BATCH: Final = 512  # spans of one request
EVERY_SECONDS: Final = 2.0
EXPORT_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 2.0
TRIES: Final = 4
BACKOFF_SECONDS: Final = 1.0  # doubled each time, with jitter
LONGEST_WAIT: Final = 30.0  # whatever the receiver asks for
ANSWER_LIMIT: Final = 65_536
AGAIN: Final = frozenset({429, 502, 503, 504})

# Spans by what became of them: `sent`, `rejected` by the receiver, `dropped` here.
Count = Callable[[str, int], None]


class Exporter:
    """`offer` takes a recording at any time; `start` and `close` bracket the work. Times in seconds."""

    def __init__(
        self,
        url: str,
        headers: dict[str, str],
        resource: Attributes,
        count: Count,
        log: JsonLog,
        *,
        every: float = EVERY_SECONDS,
        backoff: float = BACKOFF_SECONDS,
        patience: float = EXPORT_SECONDS,
    ) -> None:
        self._resource = {**resource, "service.instance.id": secrets.token_hex(8)}
        self._count = count
        self._log = log
        self._every = every
        self._backoff = backoff
        self._patience = patience
        self._random = Random()  # noqa: S311 - spreads load, guards nothing
        self._waiting: deque[Recording] = deque()
        self._held = 0  # spans, those on their way included
        self._flying: list[Recording] = []
        self._wake = asyncio.Event()
        self._failing = ""
        self._task: asyncio.Task[None] | None = None
        origin = parse_origin(
            url if urlsplit(url).path.strip("/") else url.rstrip("/") + PATH, allow_private=True
        )
        self._client = Client(origin, max_connections=1, allow_private=True)
        self._head = self._client.head("POST", "", {"content-type": "application/x-protobuf", **headers})

    @property
    def held(self) -> int:
        """Spans in memory."""
        return self._held

    def offer(self, recording: Recording) -> None:
        """Take the spans, or leave them out when too many wait. Never waits, never raises."""
        size = len(recording.spans)
        if recording.left_out:
            self._count("dropped", recording.left_out)
        if self._held + size > MOST_WAITING:
            self._count("dropped", size)
            return
        self._held += size
        self._waiting.append(recording)
        if self._held >= BATCH:
            self._wake.set()

    def start(self) -> None:
        # The messages are imported here and not by the first trace, which would wait for them.
        import service.telemetry.otlp  # noqa: F401

        self._task = forever(self._run, "traces")

    async def close(self) -> None:
        """Send what waits, in bounded time; the rest is counted as dropped."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        with contextlib.suppress(Exception):  # whatever it is, the service closes in time
            async with asyncio.timeout(CLOSE_SECONDS):
                while self._flying or self._waiting:
                    batch = self._flying or self._take()
                    self._flying = batch
                    answer = await self._post(await self._encoded(batch))
                    if answer.status != 200:
                        break
                    self._done(batch, answer)
        if self._held:
            self._log.write("warning", "traces_lost", {"spans": self._held})
            self._count("dropped", self._held)
            self._waiting.clear()
            self._held, self._flying = 0, []
        await self._client.close()

    # --- the work

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = self._flying = self._take()
                try:
                    await self._send(batch)
                except Exception:
                    self._lose(batch)
                    raise

    def _take(self) -> list[Recording]:
        batch: list[Recording] = []
        size = 0
        while self._waiting and (not batch or size + len(self._waiting[0].spans) <= BATCH):
            batch.append(self._waiting.popleft())
            size += len(batch[-1].spans)
        return batch

    async def _send(self, batch: list[Recording]) -> None:
        data = await self._encoded(batch)
        for number in range(TRIES):
            told: float | None = None
            reason: str
            try:
                answer = await self._post(data)
            except UpstreamError as error:
                reason = error.kind
            else:
                if answer.status == 200:
                    self._done(batch, answer)
                    return
                reason = f"HTTP {answer.status}"
                if answer.status not in AGAIN:
                    break
                told = _seconds(answer.headers.get(b"retry-after", b""))
            self._fails(reason)
            if number + 1 < TRIES:
                wait = self._backoff * 2**number * (0.5 + self._random.random())
                await asyncio.sleep(min(told if told is not None else wait, LONGEST_WAIT))
        self._fails(reason)
        self._lose(batch)

    async def _encoded(self, batch: list[Recording]) -> bytes:
        from service.telemetry.otlp import Batch

        message = Batch(self._resource)
        for recording in batch:
            message.add(recording)
            await asyncio.sleep(0)  # requests go first
        return message.encoded()

    async def _post(self, data: bytes) -> Response:
        due = asyncio.get_running_loop().time() + self._patience
        return await self._client.request(self._head, data, due, ANSWER_LIMIT)

    def _done(self, batch: list[Recording], answer: Response) -> None:
        from service.telemetry.otlp import rejected

        size = _size(batch)
        refused = min(max(rejected(answer.body), 0), size)
        self._count("sent", size - refused)
        if refused:
            self._count("rejected", refused)
        self._release(batch)
        if self._failing:
            self._failing = ""
            self._log.write("info", "traces", {"up": True})

    def _lose(self, batch: list[Recording]) -> None:
        self._release(batch)
        self._count("dropped", _size(batch))

    def _release(self, batch: list[Recording]) -> None:
        self._held -= _size(batch)
        self._flying = []

    def _fails(self, reason: str) -> None:
        if reason != self._failing:
            self._failing = reason
            self._log.write("warning", "traces", {"up": False, "reason": reason})


def _size(batch: list[Recording]) -> int:
    return sum([len(recording.spans) for recording in batch])


def _seconds(raw: bytes) -> float | None:
    return float(raw) if raw.isdigit() and len(raw) < 6 else None


def parse_headers(text: str) -> dict[str, str]:
    """`name=value,…` as in OTEL_EXPORTER_OTLP_HEADERS. Raises `ValueError` without showing a value."""
    headers: dict[str, str] = {}
    for number, pair in enumerate([one for one in text.split(",") if one.strip()], 1):
        name, equals, value = pair.strip().partition("=")
        if not equals or not name.strip().replace("-", "").isalnum() or not value.isprintable():
            raise ValueError(f"entry {number} is not name=value")
        headers[name.strip().lower()] = value.strip()
    return headers
