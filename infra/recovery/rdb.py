"""A Redis or Valkey snapshot over the replication protocol: the server saves, then sends.

`SYNC` works over the network, needs no access to the server's disk, and ends exactly with the snapshot.
ElastiCache forbids it (and BGSAVE); there the service's own snapshots are used (`elasticache.py`).
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote, urlparse

from infra.errors import OperationFailed, UserError

CHUNK: Final = 1 << 18
SAVE_SECONDS: Final = 3600
"""Longest silence of a server that is saving; it sends a newline now and then while it does."""
MAGICS: Final = (b"REDIS", b"VALKEY")


@dataclass(frozen=True, slots=True)
class Header:
    """What an RDB file says of itself."""

    version: str
    created: datetime | None
    """When the server took the snapshot, by its own clock."""
    keys: int | None
    """Keys of database 0 at the snapshot, expired ones included."""


class Stream:
    """A snapshot on its way; `header` is known after the first bytes."""

    def __init__(self, sock: socket.socket, rest: bytes, size: int) -> None:
        self._sock = sock
        self._first = rest
        self.size = size
        while len(self._first) < min(size, 1 << 16):
            self._first += _receive(sock)
        self.header = parse_header(self._first[:size])

    def chunks(self) -> Iterator[bytes]:
        """Exactly the snapshot; `OperationFailed` when the connection ends before it."""
        first, left = self._first[: self.size], self.size
        yield first
        left -= len(first)
        while left:
            chunk = _receive(self._sock)[:left]
            yield chunk
            left -= len(chunk)


@contextmanager
def snapshot(url: str) -> Iterator[Stream]:
    """Ask the server for a snapshot and stream it."""
    with _connect(url) as sock:
        sock.settimeout(SAVE_SECONDS)
        sock.sendall(b"SYNC\r\n")
        buffer = b""
        while b"\r\n" not in (buffer := buffer.lstrip(b"\n")):
            buffer += _receive(sock)
        line, _, rest = buffer.partition(b"\r\n")
        if not line.startswith(b"$") or not line[1:].isdigit():
            told = line.decode(errors="replace").lstrip("-")
            raise UserError(
                f"The server did not send a snapshot: {told}",
                "ElastiCache never does: use `superagent backup snapshot --cache GROUP`.",
            )
        yield Stream(sock, rest, int(line[1:]))


@contextmanager
def _connect(url: str) -> Iterator[socket.socket]:
    parts = urlparse(url)
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
        raise UserError("The Redis URL is not redis:// or rediss://.", "Correct secrets/redis_url.")
    try:
        sock = socket.create_connection((parts.hostname, parts.port or 6379), timeout=10)
    except OSError as failed:
        raise OperationFailed(
            f"Redis at {parts.hostname}:{parts.port or 6379} does not answer: {failed.strerror or failed}."
        ) from None
    with sock:
        if parts.scheme == "rediss":
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=parts.hostname)
        if parts.password:
            words = ["AUTH", *([unquote(parts.username)] if parts.username else []), unquote(parts.password)]
            sock.sendall(encode(words))
            answer = _receive(sock)
            if not answer.startswith(b"+OK"):
                raise UserError("Redis refuses the password.", "Correct secrets/redis_url.")
        yield sock


def encode(words: list[str]) -> bytes:
    """A command as the protocol writes it."""
    parts = [word.encode() for word in words]
    body = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%s" % (len(parts), body)


def _receive(sock: socket.socket) -> bytes:
    try:
        data = sock.recv(CHUNK)
    except OSError as failed:
        raise OperationFailed(f"The snapshot was cut off: {failed}.") from None
    if not data:
        raise OperationFailed("The snapshot was cut off: the server closed the connection.")
    return data


def parse_header(data: bytes) -> Header:
    """Read magic, creation time and key count; `OperationFailed` when it is no RDB file.

    Format: rdb.h and rdb.c of Valkey; an opcode that is unknown here only ends the reading.
    """
    magic = next((magic for magic in MAGICS if data.startswith(magic)), None)
    if magic is None:
        raise OperationFailed("The snapshot does not begin like an RDB file.")
    created, keys = None, None
    place = 9
    try:
        while True:
            opcode = data[place]
            place += 1
            if opcode == 0xFA:  # auxiliary field: name and value
                name, place = _string(data, place)
                value, place = _string(data, place)
                if name == b"ctime":
                    created = datetime.fromtimestamp(int(value), UTC)
            elif opcode == 0xFE:  # number of the database that follows
                _, place = _length(data, place)
            elif opcode == 0xFB:  # sizes of its two hash tables
                keys, place = _length(data, place)
                break
            else:
                keys = 0 if opcode == 0xFF else None
                break
    except (IndexError, ValueError, struct.error):
        pass  # cut inside the header: what was read so far is true
    return Header(data[len(magic) : 9].decode(errors="replace"), created, keys)


def _length(data: bytes, place: int) -> tuple[int, int]:
    first = data[place]
    kind = first >> 6
    if kind == 0:
        return first & 0x3F, place + 1
    if kind == 1:
        return (first & 0x3F) << 8 | data[place + 1], place + 2
    if first == 0x80:
        return struct.unpack_from(">I", data, place + 1)[0], place + 5
    if first == 0x81:
        return struct.unpack_from(">Q", data, place + 1)[0], place + 9
    raise ValueError(first)


def _string(data: bytes, place: int) -> tuple[bytes, int]:
    first = data[place]
    sizes = {0xC0: "<b", 0xC1: "<h", 0xC2: "<i"}  # small integers are stored as such
    if first in sizes:
        value = struct.unpack_from(sizes[first], data, place + 1)[0]
        return str(value).encode(), place + 1 + struct.calcsize(sizes[first])
    length, place = _length(data, place)
    return data[place : place + length], place + length
