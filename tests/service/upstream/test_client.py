from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.upstream.client import Client
from service.upstream.errors import UpstreamError
from service.upstream.origin import Origin, parse_origin
from tests.parts import free_port
from tests.service.upstream.wire import RawServer, answering, raw_server

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def origin(port: int) -> Origin:
    return parse_origin(f"http://127.0.0.1:{port}/v1", allow_private=True)


@asynccontextmanager
async def client_of(server: RawServer, **settings: Any) -> AsyncIterator[Client]:
    client = Client(origin(server.port), allow_private=True, **settings)
    try:
        yield client
    finally:
        await client.close()


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_a_request_says_what_it_should_and_the_connection_is_kept() -> None:
    async with raw_server(answering(OK)) as server, client_of(server) as client:
        head = client.head("POST", "/chat", {"x-test": "1"})
        for _ in range(3):
            response = await client.request(head, b"{}", soon())
            assert (response.status, response.body) == (200, b"ok")
        first, headers, body = server.requests[0]
        assert (first, body) == ("POST /v1/chat HTTP/1.1", b"{}")
        assert headers["host"] == f"127.0.0.1:{server.port}" and headers["accept-encoding"] == "identity"
        assert server.connections == 1


async def test_a_header_cannot_smuggle_another() -> None:
    with pytest.raises(ValueError, match="control"):
        Client(origin(1), allow_private=True).head("GET", "/", {"x": "1\r\ny: 2"})


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK, b"ok"),
        (CHUNKED + b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n", b"ok"),
        (CHUNKED + b"2;ext=1\r\nok\r\n0\r\ntrailer: x\r\n\r\n", b"ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
    ],
)
async def test_every_way_to_frame_a_body(answer: bytes, body: bytes) -> None:
    async with raw_server(answering(answer)) as server, client_of(server) as client:
        head = client.head("GET", "/", {})
        assert (await client.request(head, b"", soon())).body == body
        assert (await client.request(head, b"", soon())).body == body
        assert server.connections == 1


async def test_a_body_that_ends_with_the_connection() -> None:
    answer = b"HTTP/1.1 200 OK\r\n\r\nall of it"
    async with raw_server(answering(answer, close=True)) as server, client_of(server) as client:
        assert (await client.request(client.head("GET", "/", {}), b"", soon())).body == b"all of it"
        assert client.connections == 0


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok", "closed"),
        (CHUNKED + b"5\r\nok", "closed"),
        (CHUNKED + b"2\r\nok\r\n", "closed"),
        (b"", "closed"),
        (b"SSH-2.0-OpenSSH\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", "protocol"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "protocol",
        ),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nok", "protocol"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 200_000, "too_large"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + b"a" * 5000, "too_large"),
    ],
)
async def test_what_is_cut_broken_or_too_large_is_an_error(answer: bytes, kind: str) -> None:
    async with (
        raw_server(answering(answer, close=True)) as server,
        client_of(server, max_body=1000) as client,
    ):
        with pytest.raises(UpstreamError) as caught:
            await client.request(client.head("GET", "/", {}), b"", soon())
        assert caught.value.kind == kind and client.connections == 0


async def test_bytes_after_the_answer_end_the_connection_and_are_not_the_next_answer() -> None:
    poison = OK + b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad"
    async with raw_server(answering(poison, OK)) as server, client_of(server) as client:
        head = client.head("GET", "/", {})
        assert (await client.request(head, b"", soon())).body == b"ok"
        assert (await client.request(head, b"", soon())).body == b"ok"
        assert server.connections == 2


async def test_a_connection_that_went_stale_in_the_pool_is_replaced_unseen() -> None:
    async def once(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(OK)
        await writer.drain()
        # Hang up without an answer as soon as the next request is on its way.
        await reader.readexactly(1)

    async with raw_server(once) as server, client_of(server) as client:
        head = client.head("GET", "/", {})
        for _ in range(3):
            assert (await client.request(head, b"", soon())).body == b"ok"
        assert server.connections == 3


async def test_a_fresh_connection_that_is_closed_is_an_error_and_not_tried_for_ever() -> None:
    async with raw_server(answering(b"", close=True)) as server, client_of(server) as client:
        with pytest.raises(UpstreamError) as caught:
            await client.request(client.head("GET", "/", {}), b"", soon())
        assert caught.value.untouched and server.connections == 1


async def test_an_answer_that_began_is_never_asked_for_again() -> None:
    cut = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(OK)
        await server.request(reader)
        writer.write(cut)

    async with raw_server(talk) as server, client_of(server) as client:
        head = client.head("GET", "/", {})
        await client.request(head, b"", soon())
        with pytest.raises(UpstreamError):
            await client.request(head, b"", soon())
        assert len(server.requests) == 2


async def silent(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await server.request(reader):
        pass


async def test_silence_is_a_timeout_and_hangs_up() -> None:
    async with raw_server(silent) as server, client_of(server) as client:
        with pytest.raises(UpstreamError) as caught:
            await client.request(client.head("GET", "/", {}), b"", soon(0.05))
        assert caught.value.kind == "timeout"
        await server.hung_up.wait()


async def test_a_cancelled_call_hangs_up_at_once() -> None:
    async with raw_server(silent) as server, client_of(server) as client:
        call = asyncio.create_task(client.request(client.head("GET", "/", {}), b"", soon()))
        while not server.requests:
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert client.connections == 0
        await server.hung_up.wait()


async def test_nobody_listens() -> None:
    client = Client(origin(free_port()), allow_private=True)
    with pytest.raises(UpstreamError) as caught:
        await client.request(client.head("GET", "/", {}), b"", soon())
    assert caught.value.kind == "connect" and caught.value.untouched


async def test_the_pool_keeps_its_limit_and_those_who_wait_get_their_turn() -> None:
    gate = asyncio.Event()

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await server.request(reader):
            await gate.wait()
            writer.write(OK)

    async with raw_server(talk) as server, client_of(server, max_connections=2) as client:
        head = client.head("GET", "/", {})
        calls = [asyncio.create_task(client.request(head, b"", soon())) for _ in range(10)]
        while len(server.requests) < 2:
            await asyncio.sleep(0)
        with pytest.raises(UpstreamError) as caught:
            await client.request(head, b"", soon(0.05))
        assert caught.value.kind == "pool"
        calls[5].cancel()
        gate.set()
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(not isinstance(one, BaseException) for one in done) == 9
        assert server.connections == 2


async def test_an_idle_connection_that_is_too_old_is_not_used() -> None:
    async with raw_server(answering(OK)) as server, client_of(server, idle_seconds=-1.0) as client:
        head = client.head("GET", "/", {})
        await client.request(head, b"", soon())
        await client.request(head, b"", soon())
        assert server.connections == 2


# --- streams ----------------------------------------------------------------------------------------


async def test_a_stream_is_read_as_it_comes_and_its_connection_kept() -> None:
    more = asyncio.Event()

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await server.request(reader):
            writer.write(CHUNKED + b"3\r\none\r\n")
            await more.wait()
            writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

    async with raw_server(talk) as server, client_of(server) as client:
        for _ in range(2):
            more.clear()
            response = await client.stream(client.head("GET", "/", {}), b"", soon())
            assert await response.read(soon()) == b"one"
            more.set()
            assert await response.read(soon()) == b"two"
            assert await response.read(soon()) == b""
        assert server.connections == 1


async def test_closing_a_stream_early_hangs_up() -> None:
    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(CHUNKED + b"3\r\none\r\n")
        await server.request(reader)

    async with raw_server(talk) as server, client_of(server) as client:
        response = await client.stream(client.head("GET", "/", {}), b"", soon())
        await response.read(soon())
        response.close()
        assert client.connections == 0
        await server.hung_up.wait()


async def test_a_cut_stream_is_an_error_after_what_came() -> None:
    async with (
        raw_server(answering(CHUNKED + b"3\r\none\r\n", close=True)) as server,
        client_of(server) as client,
    ):
        response = await client.stream(client.head("GET", "/", {}), b"", soon())
        assert await response.read(soon()) == b"one"
        with pytest.raises(UpstreamError) as caught:
            await response.read(soon())
        assert caught.value.kind == "closed"


async def test_the_end_of_the_framing_may_come_later() -> None:
    end = asyncio.Event()

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await server.request(reader):
            writer.write(CHUNKED + b"4\r\ndone\r\n")
            await end.wait()
            writer.write(b"0\r\n\r\n")

    async with raw_server(talk) as server, client_of(server) as client:
        response = await client.stream(client.head("GET", "/", {}), b"", soon())
        assert await response.read(soon()) == b"done"
        response.close(whole=True)
        end.set()
        while not client._idle:
            await asyncio.sleep(0)
        assert (await client.request(client.head("GET", "/", {}), b"", soon())).body == b"done"
        assert server.connections == 1


async def test_an_end_of_the_framing_that_never_comes_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.upstream.connection.DRAIN_SECONDS", 0.02)

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(CHUNKED + b"4\r\ndone\r\n")
        await server.request(reader)

    async with raw_server(talk) as server, client_of(server) as client:
        response = await client.stream(client.head("GET", "/", {}), b"", soon())
        await response.read(soon())
        response.close(whole=True)
        await server.hung_up.wait()
        assert client.connections == 0


async def test_a_reader_that_is_slow_slows_the_upstream_down() -> None:
    """What nobody reads stays in the sockets: a flood does not fill memory."""
    written = 0
    stop = asyncio.Event()

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await server.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        block = b"x" * 65_536
        while not stop.is_set() and written < 200_000_000:
            writer.write(block)
            written += len(block)
            try:
                await asyncio.wait_for(writer.drain(), 0.2)
            except TimeoutError:
                stop.set()

    async with raw_server(talk) as server, client_of(server) as client:
        response = await client.stream(client.head("GET", "/", {}), b"", soon())
        await stop.wait()
        assert written < 50_000_000
        assert response._connection is not None and response._connection._unread < 1_000_000
        size = 0
        while data := await response.read(soon()):
            size += len(data)
        assert size == written


async def test_closing_the_client_ends_what_is_under_way() -> None:
    async with raw_server(silent) as server, client_of(server) as client:
        call = asyncio.create_task(client.request(client.head("GET", "/", {}), b"", soon()))
        while not server.requests:
            await asyncio.sleep(0)
        await client.close()
        with pytest.raises(UpstreamError):
            await call
        with pytest.raises(UpstreamError):
            await client.request(client.head("GET", "/", {}), b"", soon())
