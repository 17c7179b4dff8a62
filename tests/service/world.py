"""One service process on stores of its own, and what is asked of it while they are taken away."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.parts import wait_until
from tests.service.running import Process, create_key, key_with_budget, process, ready
from tests.service.slow import Slow, slow
from tests.service.stores import Postgres, Valkey, postgres, valkey
from tests.service.traffic import Traffic


class World:
    """`line` is the connection between the service and Redis."""

    def __init__(self, store: Postgres, redis: Valkey, line: Slow, service: Process, key: str) -> None:
        self.store, self.redis, self.line, self.service, self.key = store, redis, line, service, key

    def dependency(self, name: str) -> bool:
        with urllib.request.urlopen(self.service.url + "/health", timeout=5) as response:
            return bool(json.load(response)["dependencies"][name]["up"])

    def metric(self, name: str) -> float:
        url = f"http://127.0.0.1:{self.service.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=5) as response:
            for line in response.read().decode().splitlines():
                if line.startswith(name + " "):
                    return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no metric {name}")

    def every_answer_is_booked_once(self, *traffics: Traffic) -> None:
        answers = [one for traffic in traffics for one in traffic.answers]
        answered = {one.request_id for one in answers if one.status == 200}
        wait_until(lambda: self.metric("superagent_usage_journal_pending") == 0, "the journal is shipped", 60)
        booked = self.store.query("select request_id from usage")
        assert len(booked) == len(set(booked))
        assert answered <= set(booked)

    def key_with_budget(self, usd: float) -> str:
        """Another key, with a budget a month."""

        return key_with_budget(self.store.url, usd)


Stores = tuple[Postgres, Valkey]


@contextlib.contextmanager
def both() -> Iterator[Stores]:
    """Stores that tests may kill: whoever uses them next finds them running."""
    with postgres() as store, valkey() as redis:
        ready(store.url)
        yield store, redis


@contextlib.contextmanager
def world(stores: Stores, folder: Path, **settings: str) -> Iterator[World]:
    store, redis = stores
    for one in stores:
        assert one.process is not None
        if one.process.poll() is not None:
            one.start()
        else:
            one.thaw()
    key = create_key(store.url, "chat")
    with (
        slow(redis.port) as line,
        process(store.url, folder, REDIS_URL=line.url, **settings) as service,
    ):
        yield World(store, redis, line, service, key)
