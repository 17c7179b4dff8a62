"""The usage journal: rows on local disk before an answer ends, so that no death of a process loses one.

A row is in the page cache when `append` returns: that survives the process (`kill -9`); a background fsync
each second bounds what a power cut can take. Segments are read back by `Shipper`, which alone deletes them.
A stream writes a line when it starts and one when it ends; the first without the second is a crash.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from service.storage.usage import BOOKED, COLUMNS, OPENED, OUTCOME, UsageRow, quality_line

SEGMENT_BYTES: Final = 4 * 1024 * 1024
KEPT_IN_MEMORY: Final = 10_000  # lines while the disk refuses them


class JournalInUse(Exception):
    """Another process holds this folder, or it cannot be written; the message says which."""


class Journal:
    """One process's journal. `pending` counts rows that the shipper has not confirmed."""

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self._segment_bytes = segment_bytes
        self._lock = -1
        self._descriptor = -1
        self._size = 0
        self.segment = 0
        self.pending = 0
        self.dirty = False
        self.unwritten: deque[bytes] = deque(maxlen=KEPT_IN_MEMORY)
        self.streams: dict[str, int] = {}  # request id of an open stream -> segment of its first line

    def open(self) -> None:
        """Take the folder, settle what a dead predecessor left open, start a new segment.

        Raises `JournalInUse`.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            segments = self.segments()
            self._begin(segments[-1] + 1 if segments else 1)
        except BlockingIOError:
            raise JournalInUse(
                f"The journal folder {self.folder} belongs to another running process: "
                "give each its own with SUPERAGENT_JOURNAL_DIR."
            ) from None
        except OSError as error:
            raise JournalInUse(
                f"The journal folder {self.folder} cannot be written ({error.strerror}): "
                "set SUPERAGENT_JOURNAL_DIR to one that can."
            ) from None
        self._settle(segments)

    def close(self) -> None:
        for descriptor in (self._descriptor, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._lock = -1

    def stream_opened(self, row: UsageRow) -> None:
        self.streams[row.request_id] = self.segment
        self._write(row.line(OPENED))

    def append(self, row: UsageRow) -> None:
        """Book a row; when this returns, it survives the process. Never raises."""
        self.pending += 1
        self._write(row.line(BOOKED))
        if row.stream:
            self.streams.pop(row.request_id, None)

    def scored(self, request_id: str, at: float, score: float) -> None:
        """The quality of an answer whose row was appended before. Never raises."""
        self._write(quality_line(request_id, at, score))

    def _write(self, line: bytes) -> None:
        if not self.unwritten and self._size < self._segment_bytes:
            try:
                written = os.write(self._descriptor, line)
            except OSError:
                written = 0
            if written == len(line):
                self._size += written
                self.dirty = True
                return
            self._void(written)
        self.unwritten.append(line)
        self.retry()

    def _void(self, written: int) -> None:
        """A full disk may take a part of a line: take it back, the line is kept."""
        if written:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)

    def retry(self) -> None:
        """Write what the disk would not take before; what fails stays in memory."""
        if not self.unwritten:
            return
        try:
            while self.unwritten:
                line = self.unwritten[0]
                written = os.write(self._descriptor, line)
                if written != len(line):
                    self._void(written)
                    return
                self.unwritten.popleft()
                self._size += written
        except OSError:
            return
        self.dirty = True
        if self._size >= self._segment_bytes:
            with contextlib.suppress(OSError):  # no descriptor, no room: the old one goes on
                self._begin(self.segment + 1)

    def _begin(self, segment: int) -> None:
        descriptor = os.open(self.path(segment), os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self.segment, self._size = descriptor, segment, 0

    def sync(self) -> None:
        """fsync what was written since the last time; may run in a thread."""
        if self.dirty and self._descriptor >= 0:
            self.dirty = False
            os.fdatasync(self._descriptor)

    # --- reading back

    def segments(self) -> list[int]:
        with os.scandir(self.folder) as entries:  # each batch asks; pathlib takes ten times as long
            names = [entry.name.partition(".") for entry in entries]
        return sorted([int(stem) for stem, _, kind in names if kind == "journal" and stem.isdigit()])

    def path(self, segment: int) -> Path:
        return self.folder / f"{segment:012d}.journal"

    def _settle(self, segments: list[int]) -> None:
        """Streams that a dead process left open become rows with the outcome `crashed`."""
        left_open: dict[bytes, list[bytes]] = {}
        for segment in segments:
            for fields in parse(self.path(segment).read_bytes()):
                if fields[0] == OPENED:
                    left_open[fields[1]] = fields
                else:
                    left_open.pop(fields[1], None)
        for fields in left_open.values():
            fields[0], fields[OUTCOME] = BOOKED, b"crashed"
            self.pending += 1
            self._write(b"\t".join(fields) + b"\n")


def parse(data: bytes) -> Iterator[list[bytes]]:
    """The fields of whole lines: a torn last line belongs to an answer that never ended."""
    for line in data.split(b"\n")[:-1]:
        fields = line.split(b"\t")
        if len(fields) == 1 + len(COLUMNS):
            yield fields
