"""Whatever bytes come and however they are cut: the right answer, or one `UpstreamError`; never a hang."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from service.upstream.connection import Connection
from service.upstream.errors import UpstreamError
from service.upstream.response import Response


class FakeTransport(asyncio.Transport):
    """Takes what is written; `abort` tells the protocol at once, as the loop would a moment later."""

    def __init__(self, protocol: Connection) -> None:
        super().__init__()
        self._protocol = protocol
        self.closed = False

    def write(self, data: Any) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            self._protocol.connection_lost(None)

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def exchange(raw: bytes, cuts: list[int], *, eof: bool, streaming: bool) -> Response | UpstreamError:
    """Feed `raw` cut at `cuts` to a connection that waits for an answer."""

    async def run() -> Response | UpstreamError:
        loop = asyncio.get_running_loop()
        lost: list[Connection] = []
        connection = Connection(loop, 1_000_000, lost.append)
        connection.connection_made(FakeTransport(connection))
        connection.send(b"x", streaming)
        task = asyncio.ensure_future(collect(connection, streaming))
        await asyncio.sleep(0)
        edges = sorted({0, len(raw), *[cut % (len(raw) + 1) for cut in cuts]})
        for start, end in pairwise(edges):
            if not connection.dead:
                connection.data_received(raw[start:end])
                await asyncio.sleep(0)
        if eof and not connection.dead:
            connection.connection_lost(None)
        try:
            return await task
        except UpstreamError as error:
            assert connection.dead
            return error

    return asyncio.run(run())


async def collect(connection: Connection, streaming: bool) -> Response:
    due = asyncio.get_running_loop().time() + 30.0
    if not streaming:
        await connection.whole(due)
        return connection.response()
    await connection.head(due)
    body = b""
    while data := await connection.read(due):
        body += data
    return Response(connection.status, connection.headers, body)


def render(framing: str, body: bytes) -> bytes:
    if framing == "length":
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-A: b\r\n\r\n%b" % (len(body), body)
    if framing == "chunked":
        pieces = [body[i : i + 7] for i in range(0, len(body), 7)]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n" + chunks + b"0\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n" + body


FRAMINGS = st.sampled_from(["length", "chunked", "eof"])


@settings(max_examples=150, deadline=None)
@given(FRAMINGS, st.binary(max_size=200), st.lists(st.integers(0, 400), max_size=20), st.booleans())
def test_an_answer_is_the_same_however_it_is_cut(
    framing: str, body: bytes, cuts: list[int], streaming: bool
) -> None:
    answer = exchange(render(framing, body), cuts, eof=framing == "eof", streaming=streaming)
    assert isinstance(answer, Response)
    assert (answer.status, answer.body, answer.headers[b"x-a"]) == (200, body, b"b")


def test_an_answer_is_the_same_cut_at_every_byte() -> None:
    for framing in ("length", "chunked", "eof"):
        raw = render(framing, b"hello, world")
        answer = exchange(raw, list(range(len(raw))), eof=framing == "eof", streaming=False)
        assert isinstance(answer, Response) and answer.body == b"hello, world"


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["length", "chunked"]), st.binary(min_size=1, max_size=100), st.data())
def test_an_answer_that_is_cut_short_is_never_taken_for_whole(
    framing: str, body: bytes, data: st.DataObject
) -> None:
    raw = render(framing, body)
    kept = data.draw(st.integers(0, len(raw) - 1))
    streaming = data.draw(st.booleans())
    assert isinstance(exchange(raw[:kept], [], eof=True, streaming=streaming), UpstreamError)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5), st.booleans())
def test_garbage_is_one_error(raw: bytes, cuts: list[int], streaming: bool) -> None:
    answer = exchange(raw, cuts, eof=True, streaming=streaming)
    assert isinstance(answer, UpstreamError) or raw.startswith((b"HTTP/", b"\r", b"\n"))


@settings(max_examples=200, deadline=None)
@given(FRAMINGS, st.binary(max_size=50), st.integers(0, 100), st.integers(0, 255), st.booleans())
def test_an_answer_with_a_broken_byte_ends_one_way_or_the_other(
    framing: str, body: bytes, at: int, value: int, streaming: bool
) -> None:
    raw = bytearray(render(framing, body))
    raw[at % len(raw)] = value
    exchange(bytes(raw), [at], eof=True, streaming=streaming)
