"""Providers that obey and can be killed: `wait 6 …` answers after 6 s, `fail …` errs, else an echo."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.service.fakes.openai_api import KEY, FakeOpenAI
from tests.service.fakes.serving import Refused, Send, serve

NAMES = ("one", "two")
PRICE = {"input": 3.0, "output": 15.0}


class Obedient(FakeOpenAI):
    """Does what the last message says."""

    async def answer(self, method: str, path: str, headers: dict[str, str], body: bytes, send: Send) -> None:
        order = str(json.loads(body)["messages"][-1]["content"]).split() if method == "POST" else []
        match order:
            case ["wait", seconds, *_]:
                await asyncio.sleep(float(seconds))
            case ["fail", *_]:
                raise Refused(500, {"error": {"message": "as told", "type": "server_error"}})
        await super().answer(method, path, headers, body, send)


class Upstreams:
    """Two running providers, `one` and `two`; `kill` takes one away, `urls` say where they listen."""

    def __init__(self) -> None:
        self._servers: dict[str, ExitStack] = {name: ExitStack() for name in NAMES}
        self.urls = {name: stack.enter_context(serve(Obedient())) for name, stack in self._servers.items()}

    def kill(self, name: str) -> None:
        self._servers[name].close()

    def configuration(self, folder: Path) -> Path:
        """A providers file with both; illness is found within a second or two."""
        (folder / "provider_key").write_text(KEY)
        providers: list[dict[str, Any]] = [
            {
                "name": name, "kind": "openai", "flavour": "openai", "base_url": f"{url}/v1",
                "key_file": str(folder / "provider_key"), "allow_private": True,
                "models": ["gpt-fake"], "prices": {"gpt-fake": PRICE},
            }
            for name, url in self.urls.items()
        ]  # fmt: skip
        document = {
            "providers": providers,
            "aliases": {"both": ["one/gpt-fake", "two/gpt-fake"]},
            "routing": {"health_interval": 1, "breaker_open_seconds": 12},
        }
        path = folder / "providers.json"
        path.write_text(json.dumps(document))
        return path


@contextmanager
def upstreams() -> Iterator[Upstreams]:
    """Both providers, until the block ends."""
    found = Upstreams()
    try:
        yield found
    finally:
        for name in NAMES:
            found.kill(name)
