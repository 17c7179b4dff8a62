"""`/v1/chat/completions` through the official OpenAI client, and through sockets that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio

from service.providers.base import CanonicalRequest, StreamEvent, TextDelta
from service.providers.errors import ProviderError, ProvidersUnavailable, UnknownModel
from service.routing.context import CallContext
from tests.service.fake import FakeRouter
from tests.service.running import Running, create_key, prepare, running

pytestmark = pytest.mark.component

HELLO: Any = [{"role": "user", "content": "hello big world"}]


@pytest_asyncio.fixture
async def up(database_url: str) -> AsyncIterator[tuple[Running, openai.AsyncOpenAI]]:
    key = prepare(database_url, "chat")
    async with (
        running(database_url, MAX_BODY_BYTES="20000", BODY_TIMEOUT_SECONDS="0.5") as service,
        openai.AsyncOpenAI(api_key=key, base_url=service.url + "/v1", max_retries=0) as client,
    ):
        yield service, client


async def test_the_official_client_completes(up: tuple[Running, openai.AsyncOpenAI]) -> None:
    _, client = up
    raw = await client.chat.completions.with_raw_response.create(model="m", messages=HELLO)
    answer = raw.parse()
    assert answer.choices[0].message.content == "hello big world"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None and answer.usage.total_tokens == 6
    assert raw.headers["build"] == "dev"
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["x-superagent-provider"] == "fake"


async def test_the_official_client_streams(up: tuple[Running, openai.AsyncOpenAI]) -> None:
    _, client = up
    stream = await client.chat.completions.create(
        model="m", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "hello big world "
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 3


async def test_a_wrong_key_is_401(up: tuple[Running, openai.AsyncOpenAI]) -> None:
    _, client = up
    with pytest.raises(openai.AuthenticationError) as caught:
        await client.with_options(api_key="sk-" + "x" * 43).chat.completions.create(model="m", messages=HELLO)
    assert caught.value.type == "authentication_error"


async def test_a_key_without_the_permission_is_403(
    up: tuple[Running, openai.AsyncOpenAI], database_url: str
) -> None:
    _, client = up
    reader = client.with_options(api_key=create_key(database_url, "read"))
    with pytest.raises(openai.PermissionDeniedError):
        await reader.chat.completions.create(model="m", messages=HELLO)


async def test_a_wrong_type_is_400_and_names_the_field(up: tuple[Running, openai.AsyncOpenAI]) -> None:
    _, client = up
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="m", messages=[{"role": "user", "content": 5}])  # type: ignore
    assert caught.value.param == "messages[0].content"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"model":"m"}',
        b'{"model":"m","messages":[]}',
        b'{"model":"m","messages":[{"role":"user","content":"\\ud800"}],"temperature":1e400}',
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":99999999999999999999999}',
        b'{"model":"m","tools":' + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"}",
        # in a field that nobody looks into, and in a text
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"any":' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"model":"m","messages":[{"role":"user","content":"\xc3\x28"}]}',
    ],
)
async def test_what_cannot_be_read_is_400_in_the_error_format(
    up: tuple[Running, openai.AsyncOpenAI], body: bytes
) -> None:
    service, client = up
    async with httpx.AsyncClient() as http:
        response = await http.post(
            service.url + "/v1/chat/completions",
            content=body,
            headers={"authorization": f"Bearer {client.api_key}"},
        )
    assert response.status_code == 400
    error = response.json()["error"]
    assert set(error) == {"type", "message", "param", "request_id", "retry_after"}
    assert error["request_id"] == response.headers["x-request-id"]


async def test_unknown_fields_are_ignored_as_openai_does(up: tuple[Running, openai.AsyncOpenAI]) -> None:
    _, client = up
    await client.chat.completions.create(
        model="m", messages=HELLO, extra_body={"store": True, "metadata": {"a": "b"}, "whatever": [1]}
    )


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_413(up: tuple[Running, openai.AsyncOpenAI], chunked: bool) -> None:
    service, client = up
    data = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 30_000}]}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 4096):
            yield data[start : start + 4096]

    async with httpx.AsyncClient() as http:
        response = await http.post(
            service.url + "/v1/chat/completions",
            content=pieces() if chunked else data,
            headers={"authorization": f"Bearer {client.api_key}"},
        )
    assert response.status_code == 413
    assert response.json()["error"]["type"] == "request_too_large_error"


async def test_a_body_that_grows_over_the_limit_is_413(up: tuple[Running, openai.AsyncOpenAI]) -> None:
    """The service waits for it already (it said so) when the part comes that is too much."""
    service, client = up
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {client.api_key}\r\n"
    writer.write(head.encode() + b"expect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n")
    async with asyncio.timeout(10):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"5208\r\n" + b"x" * 21_000 + b"\r\n0\r\n\r\n")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 413")
    writer.close()


async def talk(service: Running, *pieces: bytes) -> bytes:
    """Send raw bytes and read until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


async def test_a_body_that_does_not_come_is_408(up: tuple[Running, openai.AsyncOpenAI]) -> None:
    service, client = up
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {client.api_key}\r\n"
    answer = await talk(service, head.encode() + b'content-length: 100\r\n\r\n{"model"')
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"type":"timeout_error"' in answer


async def test_provider_failures_keep_their_meaning(up: tuple[Running, openai.AsyncOpenAI]) -> None:
    service, client = up
    cases: list[tuple[ProviderError, int]] = [
        (UnknownModel("m"), 404),
        (ProviderError("rate_limited", "slow down", retry_after=7), 429),
        (ProvidersUnavailable(("a: refused",)), 503),
        (ProviderError("auth", "our key is wrong"), 502),
        (ProviderError("timeout", "too slow"), 504),
    ]
    for error, status in cases:
        service.router.error = error
        for stream in (False, True):
            with pytest.raises(openai.APIStatusError) as caught:
                await client.chat.completions.create(model="m", messages=HELLO, stream=stream)
            assert caught.value.status_code == status
            if error.retry_after:
                assert caught.value.response.headers["retry-after"] == "7"


async def test_a_stream_that_breaks_ends_with_an_error_and_is_not_called_done(
    up: tuple[Running, openai.AsyncOpenAI],
) -> None:
    service, client = up
    service.router.fail_after = 2
    stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
    text = ""
    with pytest.raises(openai.APIError, match="the upstream went away"):
        async for chunk in stream:
            text += chunk.choices[0].delta.content or ""
    assert text == "hello big "


async def eventually(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_away_ends_the_upstream_call_at_once(
    database_url: str, stream: bool
) -> None:
    key = prepare(database_url, "chat")
    router = FakeRouter(delay=30)
    async with running(database_url, router) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
        body = json.dumps({"model": "m", "messages": HELLO, "stream": stream}).encode()
        writer.write(
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
            f"content-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await eventually(lambda: router.calls == 1)
        if stream:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.transport.abort()
        await eventually(lambda: router.cancelled + router.closed_streams == 1)
        await eventually(lambda: service.service.edge.open_requests == 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_left_before_it_was_admitted_costs_no_call(
    database_url: str, stream: bool
) -> None:
    key, router = prepare(database_url, "chat"), FakeRouter(delay=30)
    async with running(database_url, router) as service:
        asked, admit = asyncio.Event(), asyncio.Event()
        admission = service.service.admission
        as_ever = admission.admit

        async def slowly(*arguments: Any) -> Any:
            asked.set()
            await admit.wait()
            return await as_ever(*arguments)

        admission.admit = slowly  # type: ignore[method-assign]
        _, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
        body = json.dumps({"model": "m", "messages": HELLO, "stream": stream}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        await asked.wait()
        writer.transport.abort()
        await eventually(lambda: not service.service.edge.connections)
        admit.set()
        await eventually(lambda: service.service.edge.open_requests == 0)
        assert router.calls == router.cancelled + router.closed_streams <= 1


class Endless(FakeRouter):
    """A stream that only ends when somebody ends it."""

    async def stream(self, request: CanonicalRequest, ctx: CallContext) -> AsyncGenerator[StreamEvent, None]:
        async for event in super().stream(request, ctx):
            yield event
            while isinstance(event, TextDelta):
                await asyncio.sleep(0)
                yield TextDelta("x" * 10_000)


async def test_a_client_that_reads_nothing_does_not_hold_its_stream_for_ever(database_url: str) -> None:
    key, router = prepare(database_url, "chat"), Endless()
    async with running(database_url, router, UNREAD_TIMEOUT_SECONDS="0.3") as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
        body = json.dumps({"model": "m", "messages": HELLO, "stream": True}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await eventually(lambda: router.closed_streams == 1)  # nobody read on
        await eventually(lambda: service.service.edge.open_requests == 0)
        writer.close()


async def test_a_body_that_drips_is_408(up: tuple[Running, openai.AsyncOpenAI]) -> None:
    """Each byte comes in time; the body as a whole does not."""
    service, client = up
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {client.api_key}\r\n"
    writer.write(head.encode() + b"content-length: 10000\r\n\r\n")
    answer = asyncio.create_task(reader.read())
    while not answer.done():
        writer.write(b" ")
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        await asyncio.sleep(0.02)
    assert (await answer).startswith(b"HTTP/1.1 408")
    writer.close()


async def test_a_body_that_is_too_large_is_told_to_who_sends_all_of_it_first(
    up: tuple[Running, openai.AsyncOpenAI],
) -> None:
    """Most clients read nothing before they have sent everything: their answer must be there still."""
    service, client = up
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
    size = 24 * 1024 * 1024
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {client.api_key}\r\n"
    writer.write(f"{head}content-length: {size}\r\n\r\n".encode())
    for _ in range(size // 65_536):
        writer.write(b" " * 65_536)
        await writer.drain()
    assert (await reader.read()).startswith(b"HTTP/1.1 413")
    writer.close()
    await eventually(lambda: not service.service.edge.connections)


async def test_who_goes_on_sending_after_its_answer_is_cut_off(
    up: tuple[Running, openai.AsyncOpenAI],
) -> None:
    service, _ = up
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
    writer.write(b"nonsense\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    async with asyncio.timeout(30):
        while service.service.edge.connections:
            writer.write(b" ")
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            await asyncio.sleep(0.02)
    writer.close()


async def test_heads_that_are_too_large_or_broken_are_refused(up: tuple[Running, openai.AsyncOpenAI]) -> None:
    service, _ = up
    big = b"GET /health HTTP/1.1\r\nhost: x\r\nx-big: " + b"a" * 40_000 + b"\r\n\r\n"
    assert (await talk(service, big)).startswith(b"HTTP/1.1 431")
    assert (await talk(service, big[:39_000], big[39_000:])).startswith(b"HTTP/1.1 431")
    assert (await talk(service, b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400")


async def test_a_head_that_comes_in_pieces_has_the_limit_too(up: tuple[Running, openai.AsyncOpenAI]) -> None:
    """The first piece was read when the second comes: the request before it has its answer."""
    service, _ = up
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
    writer.write(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\nGET /health HTTP/1.1\r\nhost: x\r\nx-big: a")
    async with asyncio.timeout(8):  # before the deadline of a head
        await reader.readuntil(b'{"status":"live"}')
        writer.write(b"a" * 34_000)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 431")
    writer.close()


async def test_a_head_that_does_not_end_is_cut_off(database_url: str) -> None:
    prepare(database_url)
    async with running(database_url, HEADER_TIMEOUT_SECONDS="0.2") as service:
        assert await talk(service, b"GET /health HTTP/1.1\r\nhost:") == b""


async def test_pipelined_requests_are_answered_in_order(up: tuple[Running, openai.AsyncOpenAI]) -> None:
    service, _ = up
    one = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
    last = b"GET /health/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = await talk(service, one + one + last)
    assert answer.count(b'{"status":"live"}') == 2
    assert answer.endswith(b'{"status":"ready","reasons":[]}')


async def test_unknown_paths_and_methods_keep_the_error_format(
    up: tuple[Running, openai.AsyncOpenAI],
) -> None:
    service, _ = up
    async with httpx.AsyncClient(base_url=service.url) as http:
        lost = await http.get("/nope")
        wrong = await http.get("/v1/chat/completions")
    assert (lost.status_code, lost.json()["error"]["type"]) == (404, "not_found_error")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert wrong.headers["build"] == "dev"
