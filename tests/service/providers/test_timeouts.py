"""How long an upstream may take: to begin, for a whole answer, and for all of a stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from service.providers.base import CanonicalRequest, ProviderError, Timeouts
from service.providers.config import ProviderConfig
from service.providers.http_client import EventStream, HttpUpstream
from service.providers.openai_compatible import OpenAICompatible
from service.providers.openai_errors import classify
from service.providers.sse import SSEParser
from tests.service.upstream.wire import RawServer, raw_server

Ask = Callable[..., CanonicalRequest]
LONG = 60.0
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'


async def silent(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await server.request(reader):
        pass


async def endless(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A word every 10 ms, for ever."""
    await server.request(reader)
    writer.write(HEAD)
    while not writer.is_closing():
        writer.write(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
        await writer.drain()
        await asyncio.sleep(0.01)


async def kind_of_end(
    server: RawServer, request: CanonicalRequest, *, stream: bool, own: float = LONG, **limits: float
) -> str:
    """How a call ends; `own` is its own time, far away unless given."""
    patience = {"connect": 5.0, "first_token": LONG, "between_tokens": LONG, "total": LONG, **limits}
    provider = OpenAICompatible(
        ProviderConfig(
            name="p",
            kind="openai",
            base_url=f"http://127.0.0.1:{server.port}/v1",
            allow_private=True,
            timeouts=Timeouts(**patience),
        )
    )
    try:
        async with asyncio.timeout(10):
            with pytest.raises(ProviderError) as caught:
                if stream:
                    async for _ in provider.stream(request, time.monotonic() + own):
                        pass
                else:
                    await provider.complete(request, time.monotonic() + own)
        return caught.value.kind
    finally:
        await provider.close()


async def test_a_first_token_that_does_not_come_is_a_timeout(ask: Ask) -> None:
    async with raw_server(silent) as server:
        assert await kind_of_end(server, ask(), stream=True, first_token=0.05) == "timeout"


async def test_a_whole_answer_has_a_limit(ask: Ask) -> None:
    async with raw_server(silent) as server:
        assert await kind_of_end(server, ask(), stream=False, total=0.05) == "timeout"


async def test_a_stream_has_a_limit_for_all_of_it(ask: Ask) -> None:
    async with raw_server(endless) as server:
        assert await kind_of_end(server, ask(), stream=True, total=0.1) == "timeout"


async def test_the_calls_own_deadline_wins_before_the_first_token(ask: Ask) -> None:
    async with raw_server(silent) as server:
        for stream in (False, True):
            assert await kind_of_end(server, ask(), stream=stream, own=0.05) == "timeout"


class Restless:
    """Bytes are there whenever they are asked for: nobody ever waits."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads = 0

    async def read(self, due: float) -> bytes:
        self.reads += 1
        assert self.reads < 5_000_000, "nothing ends it"
        return self.data


@pytest.mark.parametrize("data", [b": ping\n\n", b"data: {}\n\n"])
@pytest.mark.parametrize("begun", [False, True])
async def test_who_never_stops_sending_is_timed_out_all_the_same(data: bytes, begun: bool) -> None:
    upstream = HttpUpstream(ProviderConfig(name="p", kind="openai"), "https://example.com/v1", classify, "")
    due = time.monotonic() + 0.05
    stream = EventStream(upstream, cast(Any, Restless(data)), SSEParser(), due, due)
    stream.seen_token = begun
    with pytest.raises(ProviderError) as caught:
        while await stream.batch() is not None:
            pass
    assert caught.value.kind == "timeout"
    await upstream.close()


async def test_a_refusal_whose_body_is_cut_is_that_refusal(ask: Ask) -> None:
    async def refuses(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 99\r\n\r\n{")

    async with raw_server(refuses) as server:
        assert await kind_of_end(server, ask(), stream=True) == "rate_limited"
