"""The page of metrics: backups and drills from the bucket, releases from the journal, each as it is now.

Nothing is pushed by the jobs themselves: a pushed value is gone from an instant query after five minutes, and
a job that never ran pushes nothing. An age that grows on every scrape needs nobody but this process alive.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from prometheus_client import CollectorRegistry, generate_latest

from infra.errors import OperationFailed, UserError
from infra.recovery import facts, signing
from infra.recovery import telemetry as recovery
from infra.recovery.context import Context
from infra.recovery.facts import Bucket
from infra.release import telemetry as release
from infra.release.journal import Journal

BUCKET_SECONDS: Final = 300.0
"""How often the bucket is listed: twelve times an hour cost cents a month."""
JOURNAL_SECONDS: Final = 10.0
FORGET_SECONDS: Final = 900.0
"""How long a source may fail before the page does. Until then ages go on from what was read last."""
FOREIGN: Final = (ValueError, KeyError, TypeError)
"""What a newer tool wrote, or nobody of ours."""
FAILURES: Final = (OperationFailed, UserError, ClientError, BotoCoreError, *FOREIGN)


class Unknown(Exception):
    """A source has not answered for too long: there is no page."""


T = TypeVar("T")


@dataclass(slots=True)
class Remembered(Generic[T]):
    """A value that is read again after `every` seconds, and told until it is `forget` seconds old."""

    name: str
    read: Callable[[], T]
    every: float
    forget: float = FORGET_SECONDS
    clock: Callable[[], float] = time.monotonic
    _value: T | None = None
    _at: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self) -> T:
        """Raises `Unknown` when the source fails and what it said last is too old."""
        with self._lock:
            if self._value is None or self._at is None or self.clock() - self._at >= self.every:
                try:
                    self._value = self.read()
                    self._at = self.clock()
                except FAILURES as failed:
                    if self._value is None or self._at is None or self.clock() - self._at >= self.forget:
                        kind = f"{type(failed).__name__}: " if isinstance(failed, FOREIGN) else ""
                        raise Unknown(f"{self.name}: {kind}{failed}") from None
            return self._value


class Page:
    """One environment's page."""

    def __init__(self, place: Context) -> None:
        self._environment = place.name
        dynamodb, outputs = place.client("dynamodb"), place.env.outputs
        bucket = Bucket(place.store, signing.checker(place), facts.made_in(outputs.compute))
        table = place.lease_table()
        journal = Journal(dynamodb, outputs.release_table, outputs.environment)
        ledger = release.Ledger(dynamodb, outputs.release_table, outputs.environment)
        self._bucket = Remembered("backups", lambda: (bucket.backups(), bucket.drills()), BUCKET_SECONDS)
        self._failures = Remembered("failures", lambda: facts.failures(table), JOURNAL_SECONDS)
        self._release = Remembered("releases", lambda: (journal.current(), ledger.read()), JOURNAL_SECONDS)

    def render(self) -> bytes:
        """The page in Prometheus' text format. All of it or nothing, because half a page hides which half is
        missing: raises `Unknown`, the scrape fails, `up` is 0 and the alerts on absence speak."""
        backups, drills = self._bucket.get()
        run, totals = self._release.get()
        registry = CollectorRegistry()
        recovery.register_backups(registry, self._environment, backups, self._failures.get())
        recovery.register_drills(registry, self._environment, drills)
        release.register(registry, self._environment, run, totals)
        return generate_latest(registry)
