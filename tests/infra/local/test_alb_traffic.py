"""Weights, streams and targets that come and go, with a real Envoy in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from tests.infra.local.alb_parts import Balancer, Target, builds, healthy, until

pytestmark = pytest.mark.component
Start = Callable[[str], Awaitable[Target]]


async def test_changed_weights_move_traffic_without_a_failed_request_or_a_broken_stream(
    balancer: Balancer, targets: Start
) -> None:
    all_targets = [await targets(label) for label in ("blue-1", "blue-2", "green-1", "green-2")]
    balancer.register("blue", *all_targets[:2])
    balancer.register("green", *all_targets[2:])
    await healthy(balancer, "blue", *all_targets[:2])
    await healthy(balancer, "green", *all_targets[2:])
    failed: list[str] = []
    served: list[str] = []
    stop = asyncio.Event()
    url = f"http://127.0.0.1:{balancer.port}"

    async def load(session: aiohttp.ClientSession) -> None:
        while not stop.is_set():
            try:
                async with session.post(f"{url}/v1/chat", data=b"x" * 100) as answer:
                    if answer.status == 200:
                        served.append((await answer.text()).partition("-")[0])
                    else:
                        failed.append(str(answer.status))
            except aiohttp.ClientError as error:
                failed.append(repr(error))

    async def stream(session: aiohttp.ClientSession) -> bytes:
        async with session.get(f"{url}/stream") as answer:
            return await answer.read()

    timeout = aiohttp.ClientTimeout(total=100)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        streams = [asyncio.create_task(stream(session)) for _ in range(8)]
        loads = [asyncio.create_task(load(session)) for _ in range(16)]
        await until(lambda: len(served) > 100, "blue serves")
        for blue, green in ((90, 10), (50, 50), (0, 100), (100, 0), (0, 100)):
            balancer.weigh(blue, green)
            wanted = {colour for colour, weight in (("blue", blue), ("green", green)) if weight}
            await until(lambda: set(served[-200:]) == wanted, f"{wanted} alone get traffic")  # noqa: B023
        for target in all_targets:
            target.finish_streams.set()
        bodies = await asyncio.gather(*streams)
        stop.set()
        await asyncio.gather(*loads)
    assert failed == []
    assert all(body.endswith(b"data: [DONE]\n\n") for body in bodies)


async def test_a_dead_target_is_unhealthy_and_gets_nothing_until_it_is_back(
    balancer: Balancer, targets: Start
) -> None:
    first, second = await targets("blue-1"), await targets("blue-2")
    balancer.register("blue", first, second)
    await healthy(balancer, "blue", first, second)
    await first.stop()
    # A refused connection costs nobody a request, from the first moment on.
    assert await builds(balancer.port) == {"blue-2": 40}
    await until(lambda: balancer.health("blue")[first.host][0] == "unhealthy", "the dead target is unhealthy")
    assert balancer.health("blue")[second.host] == ("healthy", None)
    await first.start()
    await healthy(balancer, "blue", first)
    assert (await builds(balancer.port))["blue-1"] > 0


async def test_a_target_that_answers_503_is_unhealthy_and_gets_nothing(
    balancer: Balancer, targets: Start
) -> None:
    first, second = await targets("blue-1"), await targets("blue-2")
    balancer.register("blue", first, second)
    await healthy(balancer, "blue", first, second)
    first.healthy = False
    await until(
        lambda: balancer.health("blue")[first.host] == ("unhealthy", "Target.ResponseCodeMismatch"),
        "the target is unhealthy",
    )
    assert await builds(balancer.port) == {"blue-2": 40}


async def test_a_group_without_a_healthy_target_sends_to_all_of_them_as_an_alb_does(
    balancer: Balancer, targets: Start
) -> None:
    only = await targets("blue-1")
    balancer.register("blue", only)
    await healthy(balancer, "blue", only)
    only.healthy = False
    await until(lambda: balancer.health("blue")[only.host][0] == "unhealthy", "the target is unhealthy")
    assert await builds(balancer.port) == {"blue-1": 40}


async def test_a_group_without_targets_answers_503(balancer: Balancer) -> None:
    assert await builds(balancer.port) == {"503": 40}


async def test_a_deregistered_target_finishes_its_stream_and_gets_nothing_new(
    balancer: Balancer, targets: Start
) -> None:
    first, second = await targets("blue-1"), await targets("blue-2")
    balancer.register("blue", first)
    await healthy(balancer, "blue", first)
    async with aiohttp.ClientSession() as session:
        answer = await session.get(f"http://127.0.0.1:{balancer.port}/stream")
        assert answer.headers["build"] == "blue-1"
        balancer.register("blue", second)
        await healthy(balancer, "blue", second)
        balancer.deregister("blue", first)
        assert balancer.health("blue")[first.host] == ("draining", "Target.DeregistrationInProgress")
        await until(lambda: only_second(balancer), "the new requests go to the other target")
        assert balancer.health("blue")[first.host][0] == "draining"
        first.finish_streams.set()
        assert (await answer.read()).endswith(b"data: [DONE]\n\n")
    await until(lambda: first.host not in balancer.health("blue"), "draining ends when nothing is in flight")


async def only_second(balancer: Balancer) -> bool:
    return set(await builds(balancer.port, 10)) == {"blue-2"}


async def test_the_last_target_of_a_group_drains_and_new_requests_get_503(
    balancer: Balancer, targets: Start
) -> None:
    only = await targets("blue-1")
    balancer.register("blue", only)
    await healthy(balancer, "blue", only)
    async with aiohttp.ClientSession() as session:
        answer = await session.get(f"http://127.0.0.1:{balancer.port}/stream")
        balancer.deregister("blue", only)

        async def refused() -> bool:
            return set(await builds(balancer.port, 5)) == {"503"}

        await until(refused, "new requests get 503")
        only.finish_streams.set()
        assert (await answer.read()).endswith(b"data: [DONE]\n\n")


async def test_a_target_that_returns_from_draining_proves_its_health_anew(
    balancer: Balancer, targets: Start
) -> None:
    only = await targets("blue-1")
    balancer.register("blue", only)
    await healthy(balancer, "blue", only)
    async with aiohttp.ClientSession() as session:
        answer = await session.get(f"http://127.0.0.1:{balancer.port}/stream")
        balancer.deregister("blue", only)

        async def refused() -> bool:
            return set(await builds(balancer.port, 5)) == {"503"}

        await until(refused, "the target drains")
        only.healthy = False
        balancer.register("blue", only)
        seen: list[str] = []

        def unhealthy() -> bool:
            seen.append(balancer.health("blue")[only.host][0])
            return seen[-1] == "unhealthy"

        await until(unhealthy, "the target is unhealthy")
        assert set(seen) <= {"initial", "unhealthy"}
        only.healthy = True
        await healthy(balancer, "blue", only)
        only.finish_streams.set()
        assert (await answer.read()).endswith(b"data: [DONE]\n\n")
