"""Whatever the size of the database: bounded memory on the way out and in, and a bar that says how long."""

from __future__ import annotations

import hashlib
import io
import itertools
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.response import StreamingBody
from rich.console import Console

from infra import console
from infra.recovery import envelope
from infra.recovery.archive import Vault
from infra.recovery.manifest import Archive, Segment
from infra.recovery.progress import Meter, meter
from infra.recovery.store import Store

MEGABYTE = 1 << 20
SIZE = 96 * MEGABYTE
BOUND = 40 * MEGABYTE


class Sink:
    """S3 that keeps nothing: it counts what it is given."""

    def __init__(self) -> None:
        self.bytes = 0

    def get_bucket_encryption(self, **_: Any) -> dict[str, Any]:
        return {"ServerSideEncryptionConfiguration": {"Rules": []}}

    def create_multipart_upload(self, **_: Any) -> dict[str, str]:
        return {"UploadId": "u"}

    def upload_part(self, Body: bytes, **_: Any) -> dict[str, str]:
        self.bytes += len(Body)
        return {"ETag": "e"}

    def complete_multipart_upload(self, **_: Any) -> dict[str, str]:
        return {}


class Source:
    """S3 that has one large object."""

    def get_object(self, **_: Any) -> dict[str, Any]:
        return {"Body": StreamingBody(Zeroes(SIZE), SIZE)}


class Zeroes(io.RawIOBase):
    def __init__(self, left: int) -> None:
        self.left = left

    def read(self, size: int = -1) -> bytes:
        given = min(self.left, size if size >= 0 else self.left)
        self.left -= given
        return bytes(given)


@pytest.fixture
def peak() -> Iterator[Any]:
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


def test_a_backup_holds_a_few_parts_however_large_the_database_is(peak: Any) -> None:
    sink = Sink()
    key = envelope.archive_key(b"k" * 32, "id", "data")
    chunks = itertools.repeat(bytes(256 * 1024), SIZE // (256 * 1024))
    vault = Vault(Store(sink, "bucket", need_kms=False), "backups/postgres/id/", "id", key)
    (segment,) = vault.save("data", chunks, Meter(None, 0))
    assert sink.bytes == segment.size >= SIZE
    assert peak() < BOUND


def test_a_restore_holds_a_few_chunks_however_large_the_object_is(peak: Any) -> None:
    segment = Segment("k", SIZE, hashlib.sha256(bytes(SIZE)).hexdigest(), None)
    tracemalloc.reset_peak()  # the line above had it all
    read = Meter(None, 0)
    vault = Vault(Store(Source(), "bucket", need_kms=False), "", "id", None)
    assert sum(len(chunk) for chunk in vault.load(Archive("data", "data", (segment,)), read)) == SIZE
    assert read.total == SIZE
    assert peak() < BOUND


def test_the_bar_shows_amount_rate_and_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    now = itertools.count(0.0, 0.25)
    terminal = Console(file=screen, force_terminal=True, width=120, get_time=lambda: next(now))
    monkeypatch.setattr(console, "err", terminal)
    with meter("Restoring", 100 * MEGABYTE) as bar:
        for _ in range(20):
            bar.add(2 * MEGABYTE)
        assert bar._progress is not None
        bar._progress.refresh()
    told = screen.getvalue()
    assert "Restoring" in told
    assert "40.0/100.0 MiB" in told
    assert "MB/s" in told
    assert "0:00:" in told


def test_a_pipe_gets_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=screen))
    with meter("Restoring", MEGABYTE) as bar:
        bar.add(MEGABYTE)
    assert (bar.total, screen.getvalue()) == (MEGABYTE, "")
