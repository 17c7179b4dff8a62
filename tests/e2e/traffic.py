"""Bounded load on loopback: whole answers and streams over kept connections, every failure kept."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType

PAUSE_SECONDS = 0.1
"""Between two requests of one connection: load that two cores carry beside everything else."""


@dataclass(slots=True)
class Load:
    """Runs while its `with` block runs."""

    port: int
    key: str
    connections: int = 32
    streams: int = 8
    """How many of the connections ask for streams of about a second."""
    builds: list[str] = field(default_factory=list)
    """The `build` header of every answer, in the order of arrival."""
    failures: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        for number in range(self.connections):
            thread = threading.Thread(target=self._work, args=(number < self.streams,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _work(self, stream: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not self._stop.is_set():
            try:
                failure = self._one(connection, stream)
            except (OSError, http.client.HTTPException) as error:
                failure = repr(error)
                connection.close()
            if failure:
                self.failures[failure] += 1
            else:
                self.answered["stream" if stream else "whole"] += 1
            time.sleep(PAUSE_SECONDS)
        connection.close()

    def _one(self, connection: http.client.HTTPConnection, stream: bool) -> str:
        """One request; empty when the whole answer came."""
        body = {
            "model": "lorem;tokens=20;rate=20" if stream else "echo",
            "messages": [{"role": "user", "content": "Hello"}],
            "stream": stream,
        }
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            return f"{answer.status} {text[:200]}"
        self.builds.append(answer.headers["build"])
        if stream and not text.rstrip().endswith("data: [DONE]"):
            return f"broken stream: …{text[-200:]}"
        return ""
