"""Bodies of S3 objects: one immutable file each, so that a snapshot of S3 never copies them again.

moto holds each object's body in a `SpooledTemporaryFile`. Here a body moves to `blobs/<name>` the first time
its object is written to disk, and the object then reads from that file: bodies cost no memory and survive.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import uuid
from pathlib import Path
from typing import IO, Any

from moto.s3 import models as s3_models
from moto.s3.models import FakeKey

from infra.local.aws.emulator import replace

COPY_CHUNK = 4 * 1024 * 1024


class BlobFile:
    """The read side of moto's body buffer (`seek`, `read`, `close`) over a file that is opened per read.

    Opened per read because a bucket can hold more objects than a process may hold open files.
    """

    def __init__(self, blobs: Blobs, name: str) -> None:
        self.name = name
        self._blobs = blobs
        self._position = 0
        self.closed = False

    def seek(self, position: int) -> None:
        self._position = position

    def read(self, size: int = -1) -> bytes:
        if self.closed:
            raise ValueError("I/O operation on a deleted object")  # what moto expects of a closed buffer
        with (self._blobs.folder / self.name).open("rb") as file:
            file.seek(self._position)
            data = file.read(size)
        self._position += len(data)
        return data

    def close(self) -> None:
        """The object is gone; its file may go once no snapshot on disk names it any more."""
        if not self.closed:
            self.closed = True
            self._blobs.retire(self.name)


class Blobs:
    """The folder of bodies. `keep` writes one, `sweep` deletes those that no object names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._retired: set[str] = set()
        self._live: set[str] = set()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def keep(self, key: FakeKey) -> str | None:
        """Name of the file that holds the body of `key`, written and synced now if it was not yet.

        `None` for an object that moto has already disposed of. Raises `OSError` (no space, say).
        """
        buffer: Any = key._value_buffer
        if isinstance(buffer, BlobFile):
            return None if buffer.closed else buffer.name
        if buffer.closed:
            return None
        name = uuid.uuid4().hex
        with key.lock:
            self._write(name, buffer)
            replace(key, "_value_buffer", BlobFile(self, name))
        buffer.close()
        self._live.add(name)
        return name

    def _write(self, name: str, source: IO[bytes]) -> None:
        temporary = self.folder / f"{name}.tmp"
        try:
            with temporary.open("wb") as target:
                source.seek(0)
                shutil.copyfileobj(source, target, COPY_CHUNK)
                target.flush()
                os.fsync(target.fileno())
            temporary.replace(self.folder / name)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(self.folder)

    def attach(self, key: FakeKey, name: str | None) -> None:
        """Give a loaded object its body back."""
        key.lock = threading.Lock()
        buffer = BlobFile(self, name or "")
        buffer.closed = name is None
        replace(key, "_value_buffer", buffer)
        if name is not None:
            self._live.add(name)

    def retire(self, name: str) -> None:
        self._retired.add(name)

    def drop_retired(self) -> None:
        """Delete the bodies of deleted objects; call it only after a snapshot without them is on disk."""
        while self._retired:
            name = self._retired.pop()
            self._live.discard(name)
            (self.folder / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """After loading: delete what a killed process left behind (half-written or unnamed bodies)."""
        for path in self.folder.iterdir():
            if path.name not in self._live:
                path.unlink(missing_ok=True)


def install() -> None:
    """Make a changed body a new buffer: moto truncates the old one in place, and files here never change."""

    def read(key: FakeKey) -> bytes:
        with key.lock:
            key._value_buffer.seek(0)
            return key._value_buffer.read()

    def write(key: FakeKey, value: bytes | str) -> None:
        data = value.encode(s3_models.DEFAULT_TEXT_ENCODING) if isinstance(value, str) else value
        previous = getattr(key, "_value_buffer", None)
        key._value_buffer = tempfile.SpooledTemporaryFile(key._max_buffer_size)  # noqa: SIM115
        key._value_buffer.write(data)
        key.contentsize = len(data)
        if previous is not None:
            previous.close()

    replace(FakeKey, "value", property(read, write))


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
