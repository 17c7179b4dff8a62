"""The HTTP/1.1 connection itself, through sockets that do what clients may do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from service.api.exchange import Exchange
from tests.service.fake import FakeRouter
from tests.service.running import Running, prepare, running

pytestmark = pytest.mark.component

BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "one two"}]})
STREAM = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "one two"}]})


@pytest_asyncio.fixture
async def up(database_url: str) -> AsyncIterator[tuple[Running, str]]:
    key = prepare(database_url, "chat")
    async with running(database_url) as service:
        yield service, key


class Socket:
    """One raw connection; everything is waited for, nothing longer than 20 s."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, text: str) -> None:
        self.writer.write(text.encode())

    async def answer(self) -> tuple[int, dict[str, str], str]:
        """Status, headers and body by Content-Length or chunks."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 20)).decode()
        lines = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await asyncio.wait_for(self.reader.readline(), 20), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readline()
        else:
            body = await asyncio.wait_for(self.reader.readexactly(int(headers.get("content-length", 0))), 20)
        return int(lines[0].split()[1]), headers, body.decode()

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        return await asyncio.wait_for(self.reader.read(), 20)


@contextlib.asynccontextmanager
async def connected(service: Running) -> AsyncIterator[Socket]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
    try:
        yield Socket(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def post(key: str, body: str, version: str = "1.1", headers: str = "") -> str:
    return (
        f"POST /v1/chat/completions HTTP/{version}\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        f"content-length: {len(body)}\r\n{headers}\r\n{body}"
    )


async def test_pipelined_requests_are_answered_in_their_order(up: tuple[Running, str]) -> None:
    service, key = up
    async with connected(service) as client:
        client.send(post(key, BODY) + "GET /health/live HTTP/1.1\r\n\r\n" + post(key, STREAM))
        first, second, third = [await client.answer() for _ in range(3)]
    assert json.loads(first[2])["choices"][0]["message"]["content"] == "one two"
    assert second[2] == '{"status":"live"}'
    assert third[2].endswith("data: [DONE]\n\n")


async def test_a_large_body_before_it_does_not_count_as_part_of_a_head(up: tuple[Running, str]) -> None:
    service, key = up
    large = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 40_000}]})
    async with connected(service) as client:
        client.send(post(key, large) + "GET /health/live HTTP/1.1\r\nhost:")
        first = await client.answer()
        client.send(" x\r\n\r\n")
        second = await client.answer()
    assert (first[0], second[0]) == (200, 200)


async def test_a_body_in_many_pieces_and_chunks_is_one_body(up: tuple[Running, str]) -> None:
    service, key = up
    async with connected(service) as client:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer {key}\r\n"
        client.send(head + "transfer-encoding: chunked\r\n\r\n")
        for piece in (BODY[:7], BODY[7:30], BODY[30:]):
            await asyncio.sleep(0.01)
            client.send(f"{len(piece):x}\r\n{piece}\r\n")
        client.send("0\r\n\r\n")
        assert (await client.answer())[0] == 200


async def test_who_expects_a_100_gets_it_before_the_body(up: tuple[Running, str]) -> None:
    service, key = up
    async with connected(service) as client:
        client.send(post(key, BODY, headers="expect: 100-continue\r\n").removesuffix(BODY))
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(BODY)
        assert (await client.answer())[0] == 200


async def test_who_expects_a_100_without_a_key_gets_only_the_401(up: tuple[Running, str]) -> None:
    service, _ = up
    async with connected(service) as client:
        client.send(post("nobody", BODY, headers="expect: 100-continue\r\n").removesuffix(BODY))
        assert (await client.answer())[0] == 401


async def test_http_1_0_gets_streams_without_chunks_and_the_connection_closed(
    up: tuple[Running, str],
) -> None:
    service, key = up
    async with connected(service) as client:
        client.send(post(key, STREAM, version="1.0"))
        answer = (await client.rest()).decode()
    head, _, body = answer.partition("\r\n\r\n")
    assert "transfer-encoding" not in head
    assert body.startswith("data: {")
    assert body.endswith("data: [DONE]\n\n")


async def test_connection_close_is_honoured(up: tuple[Running, str]) -> None:
    service, key = up
    async with connected(service) as client:
        client.send(post(key, BODY, headers="connection: close\r\n"))
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await client.rest() == b""


async def test_head_and_percent_encoded_paths_are_understood(up: tuple[Running, str]) -> None:
    service, key = up
    async with connected(service) as client:
        client.send(post(key, BODY).replace("/v1/chat", "/v1/%63hat"))
        assert (await client.answer())[0] == 200
        client.send("HEAD /openapi.json HTTP/1.1\r\n\r\n")
        head = (await client.reader.readuntil(b"\r\n\r\n")).decode()
        assert "content-length" in head
        client.send("GET /health/live HTTP/1.1\r\n\r\n")  # nothing of a body lies before this answer
        assert (await client.answer())[0] == 200


async def test_a_list_in_several_lines_is_one_list_and_of_others_the_last_line_counts(
    up: tuple[Running, str],
) -> None:
    service, key = up
    seen: dict[bytes, bytes] = {}
    edge = service.service.edge
    inner = edge._cold

    async def look(exchange: Exchange) -> None:
        seen.update(exchange.headers)
        await inner(exchange)

    edge._cold = look
    async with connected(service) as socket:
        lines = "X-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 2.2.2.2\r\nX-Api-Key: old\r\n"
        socket.send(f"GET /v1/models HTTP/1.1\r\nhost: x\r\n{lines}x-api-key: {key}\r\n\r\n")
        await socket.answer()
    assert seen[b"x-forwarded-for"] == b"1.1.1.1,2.2.2.2" and seen[b"x-api-key"] == key.encode()


async def test_a_wish_to_upgrade_is_answered_as_http(up: tuple[Running, str]) -> None:
    service, key = up
    async with connected(service) as client:
        client.send(post(key, BODY, headers="connection: upgrade\r\nupgrade: h2c\r\n"))
        assert (await client.answer())[0] == 200
        assert await client.rest() == b""


async def test_an_idle_connection_is_closed_after_its_time(database_url: str) -> None:
    prepare(database_url)
    async with running(database_url, KEEP_ALIVE_SECONDS="1") as service, connected(service) as client:
        client.send("GET /health/live HTTP/1.1\r\n\r\n")
        assert (await client.answer())[0] == 200
        assert await client.rest() == b""


async def test_a_large_body_is_not_read_ahead_of_who_takes_it(up: tuple[Running, str]) -> None:
    service, key = up
    large = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 3_000_000}]})
    async with connected(service) as client:
        client.send(post(key, large))
        status, _, body = await client.answer()
    assert status == 200
    assert len(body) > 3_000_000


async def test_a_client_that_does_not_read_holds_its_stream_back(database_url: str) -> None:
    key = prepare(database_url, "chat")
    router = FakeRouter()
    words = "word" * 50_000
    big = json.dumps(
        {"model": "m", "stream": True, "messages": [{"role": "user", "content": " ".join([words] * 40)}]}
    )
    async with running(database_url, router) as service, connected(service) as client:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        client.send(post(key, big))
        for _ in range(400):
            stalled = [one for one in service.service.edge.connections if one.full is not None]
            if stalled:
                break
            await asyncio.sleep(0.02)
        assert stalled
        client.reader._transport.resume_reading()  # type: ignore[attr-defined]
        status, _, answer = await client.answer()
    assert status == 200
    assert answer.endswith("data: [DONE]\n\n")


async def test_who_reads_slowly_but_reads_is_not_cut_off(database_url: str) -> None:
    key, text = prepare(database_url, "chat"), "x" * 8_000_000  # far more than sockets hold
    async with running(database_url, UNREAD_TIMEOUT_SECONDS="0.1") as service:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            sock.connect(("127.0.0.1", int(service.url.rsplit(":", 1)[1])))
            reader, writer = await asyncio.open_connection(sock=sock, limit=65_536)
            body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
            [connection] = service.service.edge.connections
            for _ in range(3):  # it gets as long again, and again
                due = connection.unread_due
                assert due, "cut off"
                await reader.readexactly(500_000)
                async with asyncio.timeout(20):
                    while connection.unread_due == due:
                        await asyncio.sleep(0.01)
            left = b""
            async with asyncio.timeout(20):
                while b"completion_tokens" not in left:
                    left = left[-100:] + (piece := await reader.read(65_536))
                    assert piece, "cut off"
            writer.close()
