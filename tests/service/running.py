"""The service on real sockets: inside the test's loop, or as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from service.app import Service, create_app
from service.auth.keys import KeyStore
from service.server import _config, _Server, listen, protocol
from service.settings import load
from service.storage.database import Database
from service.storage.migrate import migrate
from service.storage.rights import grant
from tests.parts import free_port, wait_until
from tests.service.fake import FakeRouter

ROOT = Path(__file__).parents[2]


class Running:
    """A service in this loop; `url` is its API."""

    def __init__(self, service: Service, port: int, router: Any) -> None:
        self.service = service
        self.router = router
        self.url = f"http://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def running(database_url: str, router: Any = None, **environ: str) -> AsyncIterator[Running]:
    """Serve with these `SUPERAGENT_` settings (names without the prefix) until the block ends."""
    folder = tempfile.TemporaryDirectory(prefix="superagent-journal-")
    given = {
        "DATABASE_URL": as_service(database_url),
        "LOG_LEVEL": "error",
        "JOURNAL_DIR": folder.name,
        **environ,
    }
    settings = load({f"SUPERAGENT_{name}": value for name, value in given.items()})
    router = FakeRouter() if router is None else router
    service = create_app(settings, router)
    await service.start()
    port = free_port()
    config = _config(
        service.edge,
        http=protocol(settings),
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listen("127.0.0.1", port, "PORT")]))
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield Running(service, port, router)
    finally:
        server.should_exit = True
        await serving
        await service.close()
        folder.cleanup()


def as_service(database_url: str) -> str:
    """The URL with the user that services have everywhere: rights on rows and no more."""
    return database_url.replace("//postgres@", "//superagent_service@")


def ready(database_url: str) -> None:
    """Migrate, and give the service's user its rights, in a thread as `create_key`."""
    migrate(database_url)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(grant(database_url, as_service(database_url), iam=False))).result()


def prepare(database_url: str, *permissions: str) -> str:
    """`ready`, and a key."""
    ready(database_url)
    return create_key(database_url, *(permissions or ("admin",)))


def create_key(database_url: str, *permissions: str) -> str:
    """A key that may do this."""
    return _create_key(database_url, list(permissions))


def key_with_budget(database_url: str, usd: float) -> str:
    """A key for chats with a budget a month."""
    return _create_key(database_url, ["chat"], budget_usd=usd)


def _create_key(database_url: str, permissions: list[str], **more: Any) -> str:
    """In a thread: callers may be inside an event loop."""

    async def make() -> str:
        database = Database(database_url, size=1)
        await database.start()
        try:
            return (await KeyStore(database).create("test", permissions, **more))[0]
        finally:
            await database.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(make())).result()


class Process:
    """`python -m service` as its own process, with its log lines; `stderr` is where its errors go."""

    stderr: Any = None

    def __init__(self, database_url: str, folder: Path, *, ready: int = 200, **environ: str) -> None:
        """`ready` is what its readiness should answer once it serves."""
        self._ready = ready
        self.port, self.metrics_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SUPERAGENT_")},
            "SUPERAGENT_DATABASE_URL": as_service(database_url),
            "SUPERAGENT_PORT": str(self.port),
            "SUPERAGENT_METRICS_PORT": str(self.metrics_port),
            "SUPERAGENT_JOURNAL_DIR": str(folder / "journal"),
            **{f"SUPERAGENT_{name}": value for name, value in environ.items()},
        }
        self.log: list[dict[str, Any]] = []
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service"],
            env=self._environ,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
        )
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()
        wait_until(
            lambda: self.process.poll() is not None or self.status("/health/ready") == self._ready, "ready"
        )
        assert self.process.poll() is None, self.log

    def _read(self, stream: Any) -> None:
        for line in stream:
            self.log.append(json.loads(line))

    def status(self, path: str) -> int:
        """HTTP status of a GET; 0 when nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        code = self.process.wait(60)
        self._reader.join(5)
        return code


@contextlib.contextmanager
def process(database_url: str, folder: Path, **environ: str) -> Iterator[Process]:
    one = Process(database_url, folder, **environ)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(10)
