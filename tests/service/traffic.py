"""Traffic from threads, each request with its own connection state; every answer is noted."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from tests.parts import wait_until


@dataclass
class Answer:
    """`status` is 0 when no whole answer came; `request_id` is the server's."""

    status: int
    request_id: str = ""
    seconds: float = 0.0
    error: str = ""
    provider: str = ""


@dataclass
class Traffic:
    """`with Traffic(...)`: requests from `threads` threads until the block ends."""

    port: int
    key: str
    threads: int = 4
    body: dict[str, Any] = field(default_factory=dict)
    pause: float = 0.0  # seconds between two requests of a thread
    answers: list[Answer] = field(default_factory=list)

    def __enter__(self) -> Traffic:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(self.threads)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a request hangs"

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            self.answers.append(ask(self.port, self.key, f"{threading.get_ident()} {number}", **self.body))
            time.sleep(max(self.pause, 0.02 if self.answers[-1].status == 0 else 0.0))

    def more(self, count: int, status: int = 200) -> None:
        """Wait for `count` further answers with this status."""
        before = self.count(status)
        wait_until(lambda: self.count(status) >= before + count, f"{count} more answers {status}", 60)

    def count(self, status: int) -> int:
        return sum(1 for answer in self.answers if answer.status == status)

    def statuses(self) -> set[int]:
        return {answer.status for answer in self.answers}


def ask(port: int, key: str, text: str = "hello", seconds: float = 20, **body: Any) -> Answer:
    """One chat completion on a fresh connection."""
    data = {"model": "echo", "messages": [{"role": "user", "content": text}], **body}
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request(
            "POST", "/v1/chat/completions", json.dumps(data), {"authorization": f"Bearer {key}"}
        )
        response = connection.getresponse()
        text = response.read().decode()
        if data.get("stream") and response.status == 200 and not text.endswith("data: [DONE]\n\n"):
            return Answer(0, response.headers["x-request-id"], time.monotonic() - began, "cut")
        error = "" if response.status == 200 else json.loads(text)["error"]["type"]
        took, provider = time.monotonic() - began, response.headers.get("x-superagent-provider", "")
        return Answer(response.status, response.headers["x-request-id"], took, error, provider)
    except (OSError, http.client.HTTPException) as failure:
        return Answer(0, seconds=time.monotonic() - began, error=repr(failure))
    finally:
        connection.close()
