"""Near vectors among many at a price that does not depend on how many: random hyperplanes. Pure.

One scope is one hash in Redis. In each of `TABLES` tables, the sides of some hyperplanes that a vector lies
on name its bucket; similar vectors lie on the same side of most, and the planes that a vector lies closest to
are taken both ways. So a look-up reads a fixed number of buckets and at most `CANDIDATES` questions, and
compares those exactly. How the numbers were chosen: docs/semantic-cache.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float32]

TABLES: Final = 6
FLIPPED: Final = 4  # hyperplanes of each table that are taken both ways: 16 buckets a table
IN_BUCKET: Final = 8  # the newest so many
CANDIDATES: Final = 24
MOST_DIMENSIONS: Final = 8192
COUNTER: Final = b"n"
_ENTRY: Final = b"e"
_ID: Final = 4  # bytes


class Kept(Struct, array_like=True):
    """A question that was answered. `answer` is the digest of its request: the exact cache has the answer."""

    expires: int  # seconds since 1970
    answer: str
    text: str
    vector: bytes


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Kept)


class Place(Struct, frozen=True):
    """Where a question belongs: fields of its scope's hash."""

    own: list[bytes]  # its bucket in each table
    near: list[bytes]  # all buckets worth reading


class Index:
    """For vectors of one length, in scopes of at most `entries`; alike in all processes."""

    def __init__(self, dimensions: int, entries: int) -> None:
        self.dimensions = dimensions
        self.entries = entries
        self.bits = max(FLIPPED, (entries - 1).bit_length())  # one bucket an entry, when all are there
        # The legacy generator: its numbers never change, and two versions of numpy must agree.
        normal = np.random.RandomState(dimensions).standard_normal((TABLES * self.bits, dimensions))
        self._planes: Vector = normal.astype(np.float32)
        self._weights = np.left_shift(1, np.arange(self.bits))
        self._tables = np.left_shift(np.arange(TABLES), 24)  # first of the four bytes of a bucket's name
        self._choices = np.array([[n >> bit & 1 for bit in range(FLIPPED)] for n in range(1 << FLIPPED)])

    @property
    def shape(self) -> str:
        """Part of each scope's key: what another shape has stored is not found."""
        return f"{self.dimensions}:{TABLES}:{self.bits}"

    def place(self, vector: Vector) -> Place:
        sides = (self._planes @ vector).reshape(TABLES, self.bits)
        codes: NDArray[np.int64] = (sides > 0).astype(np.int64) @ self._weights | self._tables
        closest = np.argpartition(np.abs(sides), FLIPPED - 1, axis=1)[:, :FLIPPED]
        near = codes[:, None] ^ (self._weights[closest] @ self._choices.T)
        return Place(_names(codes), _names(near))

    def candidates(self, buckets: Sequence[object]) -> list[bytes]:
        """Fields of the questions that stand in most of these buckets."""
        whole = [one for one in buckets if isinstance(one, bytes) and len(one) % _ID == 0]
        if not whole:
            return []
        ids = np.frombuffer(b"".join(whole), ">u4")
        found, counts = np.unique(ids, return_counts=True)
        if len(found) > CANDIDATES:
            found = found[np.argpartition(-counts, CANDIDATES)[:CANDIDATES]]
        return [_ENTRY + int(one).to_bytes(_ID, "big") for one in found]

    def nearest(
        self, vector: Vector, stored: Sequence[object], threshold: float, now: float
    ) -> list[tuple[float, Kept]]:
        """(cosine, question) of those at least so similar, best first; what cannot be read is not there."""
        kept = [one for one in map(self._read, stored) if one is not None and one.expires > now]
        if not kept:
            return []
        rows = np.frombuffer(b"".join([one.vector for one in kept]), np.int8)
        matrix = rows.reshape(len(kept), self.dimensions).astype(np.float32)
        lengths = np.maximum(np.linalg.norm(matrix, axis=1), 1e-9)
        cosines = (matrix @ vector / lengths).tolist()
        similar: list[tuple[float, Kept]] = [
            pair for pair in zip(cosines, kept, strict=True) if pair[0] >= threshold
        ]
        return sorted(similar, key=lambda pair: pair[0], reverse=True)

    def _read(self, data: object) -> Kept | None:
        if not isinstance(data, bytes):
            return None
        try:
            kept = _decoder.decode(data)
        except msgspec.MsgspecError:
            return None
        return kept if len(kept.vector) == self.dimensions else None


@lru_cache(8)
def index(dimensions: int, entries: int) -> Index:
    return Index(dimensions, entries)


def pack(expires: int, answer: str, text: str, vector: Vector) -> bytes:
    return _encoder.encode(Kept(expires, answer, text, small(vector)))


def small(vector: Vector) -> bytes:
    """A byte a number: a quarter of the size, the cosine moves by less than 0.001."""
    largest = max(float(np.abs(vector).max()), 1e-9)
    numbers: bytes = (vector * (127 / largest)).round().astype(np.int8).tobytes()
    return numbers


def unit(numbers: Sequence[float] | Vector) -> Vector | None:
    """Of length 1; None for what has no direction."""
    with np.errstate(over="ignore", invalid="ignore"):
        vector = np.asarray(numbers, dtype=np.float32)
        if vector.ndim != 1 or not FLIPPED < len(vector) <= MOST_DIMENSIONS:
            return None
        length = float(np.linalg.norm(vector))
    if not 0 < length < float("inf"):
        return None
    scaled: Vector = vector / np.float32(length)
    return scaled


def _names(codes: NDArray[np.int64]) -> list[bytes]:
    data: bytes = codes.astype(">u4").tobytes()
    return [data[begin : begin + 4] for begin in range(0, len(data), 4)]
