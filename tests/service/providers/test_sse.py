from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.providers.sse import Event, EventTooLarge, SSEParser


def parse(raw: bytes, cuts: list[int]) -> list[Event]:
    parser = SSEParser()
    edges = sorted({0, len(raw), *[cut % (len(raw) + 1) for cut in cuts]})
    events: list[Event] = []
    for start, end in pairwise(edges):
        events += parser.feed(raw[start:end])
    return events


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        (b"data: a\n\n", [(b"", b"a")]),
        (b"data:a\n\n", [(b"", b"a")]),
        (b"data:  a\n\n", [(b"", b" a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
        (b"data: a\r\n\r\ndata: b\r\r", [(b"", b"a"), (b"", b"b")]),
        (b"event: x\ndata: a\ndata: b\n\n", [(b"x", b"a\nb")]),
        (b": ping\n\nevent: x\n\ndata: a\n\n", [(b"", b"a")]),
        (b"id: 1\nretry: 5\ndata\n\n", [(b"", b"")]),
        (b"data: a\n", []),
        (b"data: a", []),
    ],
)
def test_events_as_the_standard_says(raw: bytes, events: list[Event]) -> None:
    assert parse(raw, []) == events


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"", b"delta"]),
            st.lists(
                st.binary(max_size=12).filter(lambda line: not set(line) & {10, 13}), min_size=1, max_size=3
            ),
        ),
        max_size=5,
    ),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(st.integers(0, 300), max_size=30),
)
def test_events_are_the_same_however_they_are_cut(
    wanted: list[tuple[bytes, list[bytes]]], newline: bytes, cuts: list[int]
) -> None:
    raw = b""
    for name, lines in wanted:
        raw += b"event: " + name + newline if name else b""
        raw += b"".join(b"data: " + line + newline for line in lines) + newline
    assert parse(raw, cuts) == [(name, b"\n".join(lines)) for name, lines in wanted]


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=20))
def test_garbage_is_read_the_same_however_it_is_cut(raw: bytes, cuts: list[int]) -> None:
    assert parse(raw, cuts) == parse(raw, [])


@pytest.mark.parametrize("piece", [b"x" * 100, b"data: x\n"])
def test_an_event_without_end_is_given_up(piece: bytes) -> None:
    parser = SSEParser(limit=10_000)
    with pytest.raises(EventTooLarge):
        for _ in range(2_000):
            parser.feed(piece)
