"""What is measured and what it stands on: real Postgres and Valkey, a floor, an upstream, the gateway."""

from __future__ import annotations

import contextlib
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from service.storage.migrate import migrate
from tests.benchmarks.load import post
from tests.benchmarks.processes import Measured, python
from tests.parts import free_port
from tests.service.running import create_key
from tests.service.stores import postgres, valkey

CONNECTIONS = 32
EVERYTHING_ON = {
    "LIMIT_GLOBAL_PER_MINUTE": "90000000",
    "LIMIT_CLIENT_PER_MINUTE": "90000000",
    "LIMIT_CLIENT_TOKENS_PER_MINUTE": "900000000",
    "LIMIT_ENDPOINTS": '{"/v1/chat/completions": 90000000}',
    # Traced, and sampled out: the receiver is never called.
    "TRACE_URL": "http://127.0.0.1:9",
    "TRACE_SAMPLE": "0",
}
TEXT = "What is the answer to everything, in a sentence or two?"

Make = Callable[[int], bytes]

_SERIAL = itertools.count()  # of the run: what one row asked would be in the cache for the next


class Stack:
    """One run's parts; every process that `begin` starts ends with it."""

    def __init__(self, folder: Path, database: str, redis: str, module: str) -> None:
        self.folder, self.database, self.redis, self._module = folder, database, redis, module
        self._running: list[Measured] = []
        self.under: list[str] = []  # what a gateway runs under: a command and its arguments

    def start(self) -> None:
        """The parts that every measurement needs."""
        migrate(self.database)
        self.key = create_key(self.database, "chat")
        self.floor = self.app("hello")
        self.upstream = self.app("upstream")
        self.gateway = self.another()

    def begin(self, one: Measured) -> Measured:
        self._running.append(one)
        return one

    def app(self, name: str) -> Measured:
        port = free_port()
        return self.begin(Measured(python("tests.benchmarks.apps", name, str(port)), port, "/"))

    def another(self, providers: int = 1, **settings: str) -> Measured:
        """`python -m service` with everything on and `providers` upstream accounts."""
        port = free_port()
        file = self.folder / f"providers-{providers}.json"
        file.write_text(json.dumps({"providers": [self._account(number) for number in range(providers)]}))
        environ = {
            "DATABASE_URL": self.database,
            "REDIS_URL": self.redis,
            "PORT": str(port),
            "METRICS_PORT": str(free_port()),
            "JOURNAL_DIR": str(self.folder / f"journal-{port}"),
            "PROVIDERS_FILE": str(file),
            "DRAIN_NOTICE_SECONDS": "0",
            **EVERYTHING_ON,
            **settings,
        }
        named = {f"SUPERAGENT_{name}": value for name, value in environ.items()}
        log = self.folder / "gateway.log"
        command = [*self.under, *python(self._module)]
        return self.begin(Measured(command, port, "/health/ready", named, 300 if self.under else 60, log))

    def _account(self, number: int) -> dict[str, object]:
        first = number == 0
        return {
            "name": f"up{number}",
            "kind": "openai",
            "flavour": "generic",
            "base_url": f"http://127.0.0.1:{self.upstream.port}/v1",
            "allow_private": True,
            "models": ["bench" if first else f"bench-{number}"],
            "prices": {"bench": {"input": 1.0, "output": 2.0}} if first else {},
        }

    def end(self) -> None:
        for one in self._running:
            one.stop()


@contextlib.contextmanager
def stack(module: str = "service") -> Iterator[Stack]:
    """Everything that is measured; `module` is what `python -m` runs as the gateway."""
    with tempfile.TemporaryDirectory() as name, postgres() as store, valkey() as redis:
        made = Stack(Path(name), store.url, redis.url, module)
        try:
            made.start()
            yield made
        finally:
            made.end()


def chat(key: str, kind: str, headers: str = "") -> Make:
    """Requests: `miss` are all different, `hit` all the same, `plain` not to be cached, `stream` streamed."""

    def make(number: int) -> bytes:
        text = f"{TEXT} {next(_SERIAL)}" if kind == "miss" else TEXT
        body: dict[str, object] = {"model": "bench", "messages": [{"role": "user", "content": text}]}
        if kind in ("miss", "hit"):
            body["temperature"] = 0
        if kind == "stream":
            body["stream"] = True
        return post("/v1/chat/completions", json.dumps(body).encode(), key, headers)

    return make


def hello(number: int) -> bytes:
    return b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
