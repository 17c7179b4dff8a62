"""The index beside brute force: what it finds, what it reads, and what it makes of rubbish."""

from __future__ import annotations

import time
from collections import defaultdict

import numpy as np
import pytest

from service.cache.semantic_index import (
    CANDIDATES,
    FLIPPED,
    IN_BUCKET,
    TABLES,
    Index,
    Vector,
    pack,
    small,
    unit,
)

SIMILAR = 0.92


class Scope:
    """What the store script does, in memory."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.fields: dict[bytes, bytes] = defaultdict(bytes)
        self.count = 0

    def keep(self, vector: Vector, text: str = "") -> None:
        identity = (self.count % self.index.entries).to_bytes(4, "big")
        self.count += 1
        self.fields[b"e" + identity] = pack(2**40, "digest", text, vector)
        for bucket in self.index.place(vector).own:
            self.fields[bucket] = identity + self.fields[bucket][: 4 * (IN_BUCKET - 1)]

    def found(self, vector: Vector) -> float:
        """The best cosine; 0 for none."""
        buckets = [self.fields.get(one) for one in self.index.place(vector).near]
        stored = [self.fields[one] for one in self.index.candidates(buckets)]
        best = self.index.nearest(vector, stored, SIMILAR, time.time())
        return best[0][0] if best else 0.0


def some(count: int, dimensions: int, seed: int) -> Vector:
    """Unit vectors around a few themes, as questions are."""
    random = np.random.RandomState(seed)
    themes = random.standard_normal((20, dimensions))
    made = themes[random.randint(20, size=count)] + random.standard_normal((count, dimensions))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def near(vectors: Vector, seed: int) -> Vector:
    """The same, reworded: cosines between 0.92 and 0.99."""
    random = np.random.RandomState(seed)
    noise = random.standard_normal(vectors.shape)
    noise -= (noise * vectors).sum(axis=1, keepdims=True) * vectors
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    angle = np.arccos(random.uniform(SIMILAR + 0.005, 0.99, (len(vectors), 1)))
    return (np.cos(angle) * vectors + np.sin(angle) * noise).astype(np.float32)


@pytest.mark.parametrize(("dimensions", "entries"), [(256, 2000), (1536, 300)])
def test_what_brute_force_finds_is_found(dimensions: int, entries: int) -> None:
    scope = Scope(Index(dimensions, entries))
    vectors = some(entries, dimensions, 1)
    for one in vectors:
        scope.keep(one)
    asked = near(vectors[:: entries // 100], 2)
    best = (asked @ vectors.T).max(axis=1)
    found = np.array([scope.found(one) for one in asked])
    assert (best >= SIMILAR).all()
    assert (found > 0).mean() >= 0.95
    assert np.abs(found - best)[found > 0].max() < 0.001  # a byte a number is enough


def test_strangers_are_not_found() -> None:
    scope = Scope(Index(256, 500))
    for one in some(500, 256, 3):
        scope.keep(one)
    assert [scope.found(one) for one in some(100, 256, 4)] == [0.0] * 100


def test_a_look_reads_as_much_of_a_full_scope_as_of_an_empty_one() -> None:
    index = Index(64, 1000)
    full = Scope(index)
    vectors = some(1000, 64, 5)
    for one in vectors:
        full.keep(one)
    for one in vectors[:50]:
        near = index.place(one).near
        assert len(set(near)) == len(near) == TABLES << FLIPPED
        assert len(index.candidates([full.fields.get(bucket) for bucket in near])) <= CANDIDATES


def test_a_full_scope_forgets_its_oldest_question_and_grows_no_more() -> None:
    scope = Scope(Index(64, 100))
    first = some(1, 64, 6)[0]
    scope.keep(first)
    assert scope.found(first) > 0.99
    for one in some(1000, 64, 7):
        scope.keep(one)
    assert scope.found(first) == 0.0
    assert len(scope.fields) <= 100 + (TABLES << scope.index.bits)
    assert max(len(value) for key, value in scope.fields.items() if len(key) == 4) <= 4 * IN_BUCKET


def test_processes_agree_on_the_planes() -> None:
    one, other = Index(64, 1000), Index(64, 1000)
    vector = some(1, 64, 8)[0]
    assert one.place(vector) == other.place(vector)
    codes = [int.from_bytes(bucket[1:], "big") for bucket in one.place(vector).own]
    assert codes == [952, 921, 636, 447, 51, 455]  # and versions of numpy do


def test_rubbish_is_not_there() -> None:
    index = Index(8, 16)
    vector = some(1, 8, 9)[0]
    good = pack(2**40, "digest", "text", vector)
    late = pack(int(time.time()) - 1, "digest", "text", vector)
    other = pack(2**40, "digest", "text", some(1, 16, 9)[0])
    rubbish = [None, 7, b"", b"\xff" * 50, good[:-1], good[:5], late, other, b"\x94\xc0\xc0\xc0\xc0"]
    assert index.nearest(vector, rubbish, 0.5, time.time()) == []
    assert len(index.nearest(vector, [*rubbish, good], 0.5, time.time())) == 1
    assert index.candidates([None, b"abc", 5, b"\x00\x00\x00\x07"]) == [b"e\x00\x00\x00\x07"]
    assert index.candidates([]) == []


@pytest.mark.parametrize(
    "numbers", [[], [0.0] * 8, [float("nan")] * 8, [float("inf")] * 8, [1e300] * 8, [1.0], [0.1] * 9000]
)
def test_what_has_no_direction_is_no_vector(numbers: list[float]) -> None:
    assert unit(numbers) is None


def test_a_stored_vector_has_a_byte_a_number() -> None:
    assert len(small(some(1, 256, 10)[0])) == 256
