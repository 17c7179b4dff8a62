"""Providers that refuse, hang, answer garbage, die and flood, over real sockets, behind a real router."""

from __future__ import annotations

import asyncio
import resource
import time
from typing import Any

import pytest

from service.providers.base import ProviderError, StreamEnd, TextDelta, Timeouts
from service.providers.config import ProviderConfig as Provider
from service.providers.config import ProvidersConfig, RoutingConfig
from service.routing.context import CallContext
from service.routing.router import Router
from tests.parts import free_port
from tests.service.routing.scripted import request
from tests.service.upstream.wire import RawServer, raw_server

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
WORD = b'data: {"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'


def router_over(port: int, **routing: Any) -> Router:
    """`bad` is the server under test, `spare` the simulator; `m` is both, `bad/m` the first alone."""
    bad = Provider(
        name="bad",
        kind="openai",
        base_url=f"http://127.0.0.1:{port}/v1",
        models=("m",),
        allow_private=True,
        timeouts=Timeouts(connect=1, first_token=0.1, between_tokens=0.1, total=0.3),
    )
    spare = Provider(name="spare", kind="simulator", models=("m",))
    settings = {"tries_per_target": 1, "breaker_failures": 3, "backoff_base": 0.0, **routing}
    return Router(ProvidersConfig(providers=(bad, spare), routing=RoutingConfig(**settings)))


def context() -> CallContext:
    return CallContext(request_id="r", deadline=time.monotonic() + 10)


async def says(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes
) -> None:
    while await server.request(reader):
        writer.write(raw)
        await writer.drain()
        if raw.endswith(b"!"):
            return


FAULTS = {
    "hangs": b"",
    "hangs after the head": HEAD,
    "answers garbage": b"\x00\x01\x02 garbage\r\n\r\n!",
    "answers HTML": b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n<html></html>",
    "answers broken events": HEAD + b"data: {broken\n\n",
    "hangs up": b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n!",
    "fails": b"HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_broken_provider_costs_no_answer_and_is_soon_left_alone(fault: str, streamed: bool) -> None:
    async with raw_server(lambda s, r, w: says(s, r, w, FAULTS[fault])) as server:
        router = router_over(server.port)
        for _ in range(5):
            ctx = context()
            if streamed:
                events = [event async for event in router.stream(request(), ctx)]
                assert isinstance(events[-1], StreamEnd)
            else:
                await router.complete(request(), ctx)
            assert ctx.provider == "spare"
        assert router.health()["bad"].breaker == "open"
        assert len(server.requests) <= 3 and server.connections <= 6
        await router.close()


async def test_a_provider_that_is_not_there_costs_no_answer() -> None:
    router = router_over(free_port())
    for _ in range(4):
        ctx = context()
        await router.complete(request(), ctx)
        assert ctx.provider == "spare"
    assert router.health()["bad"].breaker == "open" and "refused" in router.health()["bad"].error.lower()
    await router.close()


async def test_a_provider_that_dies_in_the_middle_is_an_error_for_this_client_only() -> None:
    async with raw_server(lambda s, r, w: says(s, r, w, HEAD + WORD + b": !")) as server:
        router = router_over(server.port)
        ctx = context()
        seen = []
        with pytest.raises(ProviderError) as caught:
            async for event in router.stream(request(), ctx):
                seen.append(event)
        assert caught.value.kind == "transport" and any(isinstance(e, TextDelta) for e in seen)
        assert ctx.usage is not None and ctx.usage.estimated
        await router.close()


@pytest.mark.parametrize("flood", [b"x" * 65_536, b"data: " + b"x" * 65_536, b": ping\n\n" * 8_000])
async def test_a_flood_ends_in_an_error_and_does_not_fill_memory(flood: bytes) -> None:
    async def pour(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(HEAD)
        while True:
            writer.write(flood)
            await writer.drain()

    async with raw_server(pour) as server:
        router = router_over(server.port)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ctx = context()
        with pytest.raises(ProviderError):
            async for _ in router.stream(request("bad/m"), ctx):
                pass
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
        await router.close()


async def test_it_recovers_without_a_restart() -> None:
    well = False
    body = b'{"id":"1","model":"m","choices":[{"message":{"content":"well"},"finish_reason":"stop"}]}'

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await server.request(reader):
            if not well:
                return
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    async with raw_server(talk) as server:
        router = router_over(server.port, breaker_open_seconds=0.05)
        for _ in range(4):
            await router.complete(request(), context())
        assert router.health()["bad"].breaker == "open"
        well = True
        answered = set()
        while answered != {"bad"}:
            ctx = context()
            await router.complete(request(), ctx)
            answered = {ctx.provider}
            await asyncio.sleep(0)
        assert router.health()["bad"].breaker in ("half_open", "closed")
        await router.close()
