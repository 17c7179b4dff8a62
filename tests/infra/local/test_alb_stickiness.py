"""Cookies: who has one stays, whatever the weights say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from tests.infra.local.alb_parts import Balancer, Target, builds, healthy, until

pytestmark = pytest.mark.component
Start = Callable[[str], Awaitable[Target]]


async def cookie(port: int, name: str) -> str:
    """The `name=value` that a fresh client is given, as soon as it is given one."""
    found: list[str] = []

    async def given() -> bool:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as answer:
            found.extend(f"{name}={one.value}" for one in [answer.cookies.get(name)] if one)
        return bool(found)

    await until(given, f"clients are given {name}")
    return found[0]


async def both_colours(balancer: Balancer, targets: Start) -> tuple[Target, Target]:
    blue, green = await targets("blue-1"), await targets("green-1")
    balancer.register("blue", blue)
    balancer.register("green", green)
    balancer.weigh(100, 0, sticky_seconds=600)
    await healthy(balancer, "blue", blue)
    await healthy(balancer, "green", green)
    return blue, green


async def test_a_client_with_the_group_cookie_stays_at_weight_0_and_others_move(
    balancer: Balancer, targets: Start
) -> None:
    await both_colours(balancer, targets)
    mine = await cookie(balancer.port, "AWSALBTG")
    balancer.weigh(0, 100, sticky_seconds=600)

    async def moved() -> bool:
        return await builds(balancer.port, 5) == {"green-1": 5}

    await until(moved, "new clients go to green")
    assert await builds(balancer.port, headers={"cookie": f"theme=dark; {mine}; lang=en"}) == {"blue-1": 40}


async def test_the_group_cookie_lives_as_long_as_the_listener_says(
    balancer: Balancer, targets: Start
) -> None:
    await both_colours(balancer, targets)

    async def lives_600_seconds() -> bool:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{balancer.port}/") as got,
        ):
            return "AWSALBTG" in got.cookies and got.cookies["AWSALBTG"]["max-age"] == "600"

    await until(lives_600_seconds, "the cookie lives 600 s")


async def test_a_client_whose_group_has_lost_its_targets_gets_503(balancer: Balancer, targets: Start) -> None:
    blue, _ = await both_colours(balancer, targets)
    mine = await cookie(balancer.port, "AWSALBTG")
    balancer.weigh(0, 100, sticky_seconds=600)
    balancer.deregister("blue", blue)

    async def refused() -> bool:
        return await builds(balancer.port, 5, headers={"cookie": mine}) == {"503": 5}

    async def served() -> bool:
        return await builds(balancer.port) == {"green-1": 40}

    await until(refused, "the pinned client gets 503")
    await until(served, "all others are served")


async def test_without_group_stickiness_a_cookie_means_nothing(balancer: Balancer, targets: Start) -> None:
    await both_colours(balancer, targets)
    mine = await cookie(balancer.port, "AWSALBTG")
    balancer.weigh(0, 100)

    async def moved() -> bool:
        return await builds(balancer.port, 5, headers={"cookie": mine}) == {"green-1": 5}

    await until(moved, "the client moves")


async def test_the_target_cookie_keeps_a_client_on_its_target_until_that_is_gone(
    balancer: Balancer, targets: Start
) -> None:
    pair = {target.label: target for target in (await targets("blue-1"), await targets("blue-2"))}
    balancer.attribute("blue", stickiness__enabled="true", stickiness__type="lb_cookie")
    balancer.register("blue", *pair.values())
    await healthy(balancer, "blue", *pair.values())

    mine = await cookie(balancer.port, "AWSALB")
    label, count = (await builds(balancer.port, headers={"cookie": mine})).popitem()
    assert count == 40
    other = next(one for one in pair if one != label)
    balancer.deregister("blue", pair[label])

    async def moved() -> bool:
        return await builds(balancer.port, 5, headers={"cookie": mine}) == {other: 5}

    await until(moved, "the client moves to the target that is left")
