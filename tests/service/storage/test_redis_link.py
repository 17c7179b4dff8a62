"""The shared connection: in order, together, and honest about a server that is gone or slow."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.storage.database import StoreUnavailable
from service.storage.redis_link import Address, RedisError, RedisLink, pack
from tests.parts import free_port

pytestmark = pytest.mark.component


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


class SlowRedis:
    """Answers every command with +OK after `delay` seconds; None: never."""

    def __init__(self) -> None:
        self.port = free_port()
        self.delay: float | None = 0.0
        self.reads = 0
        self._server: Any = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            self.reads += 1
            if self.delay is None:
                continue
            await asyncio.sleep(self.delay)
            writer.write(b"+OK\r\n" * data.count(b"*"))

    async def stop(self) -> None:
        self._server.close()


async def test_replies_belong_to_their_commands(valkey_server: str) -> None:
    link = RedisLink(Address(valkey_server), 1.0)
    await link.start()
    try:
        answers = await asyncio.gather(*[link.call("ECHO", str(number)) for number in range(500)])
        assert answers == [str(number).encode() for number in range(500)]
        two = await link.send(pack(("ECHO", "a")) + pack(("GET", "nothing")), 2)
        assert two == [b"a", None]
    finally:
        await link.close()


async def test_an_error_is_the_callers_alone(valkey_server: str) -> None:
    link = RedisLink(Address(valkey_server), 1.0)
    await link.start()
    try:
        bad = link.call("NOT-A-COMMAND")
        good = link.call("ECHO", "x")
        results = await asyncio.gather(bad, good, return_exceptions=True)
        assert isinstance(results[0], RedisError)
        assert results[1] == b"x"
    finally:
        await link.close()


async def test_commands_of_one_tick_leave_together() -> None:
    server = SlowRedis()
    await server.start()
    link = RedisLink(Address(f"redis://127.0.0.1:{server.port}"), 1.0)
    await link.start()
    before = server.reads
    await asyncio.gather(*[link.call("PING") for _ in range(50)])
    assert server.reads - before == 1
    await link.close()
    await server.stop()


async def test_a_server_that_is_away_fails_at_once_and_comes_back_by_itself() -> None:
    server = SlowRedis()
    link = RedisLink(Address(f"redis://127.0.0.1:{server.port}"), 0.2)
    turns: list[bool] = []
    link.on_change.append(turns.append)
    await link.start()
    assert not link.available
    with pytest.raises(StoreUnavailable):
        await link.call("PING")
    await server.start()
    await until(lambda: link.available)
    assert await link.call("PING") == b"OK"
    await link.close()
    await server.stop()
    assert turns == [True]


@pytest.mark.parametrize("delay", [0.5, None])
async def test_a_slow_or_silent_server_counts_as_gone_until_it_is_quick_again(delay: float | None) -> None:
    server = SlowRedis()
    await server.start()
    link = RedisLink(Address(f"redis://127.0.0.1:{server.port}"), 0.1)
    await link.start()
    server.delay = delay
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(link.call("PING"), 5)
    assert not link.available
    server.delay = 0.0
    await until(lambda: link.available)
    await link.close()
    await server.stop()


async def test_a_caller_that_left_does_not_shift_the_others_replies(valkey_server: str) -> None:
    link = RedisLink(Address(valkey_server), 1.0)
    await link.start()
    try:
        leaver = asyncio.ensure_future(link.call("ECHO", "left"))
        await asyncio.sleep(0)
        stayer = asyncio.ensure_future(link.call("ECHO", "stayed"))
        leaver.cancel()
        assert await stayer == b"stayed"
    finally:
        await link.close()


@pytest.mark.parametrize("url", ["http://x", "redis://", "127.0.0.1:6379"])
def test_a_wrong_url_is_told(url: str) -> None:
    with pytest.raises(ValueError, match="redis://"):
        Address(url)


async def test_an_end_in_the_instant_in_which_connecting_fails_is_an_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The cancellation must not be lost to the failure, or the process never leaves."""
    link = RedisLink(Address("redis://127.0.0.1:1/0"), 10.0)
    attempt: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    trying = asyncio.Event()

    async def connect() -> Any:
        trying.set()
        return await attempt

    monkeypatch.setattr(link, "_connect", connect)
    starting = asyncio.create_task(link.start())
    await trying.wait()
    attempt.set_exception(ConnectionRefusedError())
    closing = asyncio.create_task(link.close())
    ended, _ = await asyncio.wait({closing}, timeout=5)
    assert ended
    starting.cancel()
