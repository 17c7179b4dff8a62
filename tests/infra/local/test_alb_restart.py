"""Each process of the load balancer is killed; traffic and truth come back by themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.infra.local.alb_parts import Balancer, Target, builds, healthy, until

pytestmark = pytest.mark.component
Start = Callable[[str], Awaitable[Target]]


async def both(balancer: Balancer, targets: Start) -> tuple[Target, Target]:
    blue, green = await targets("blue-1"), await targets("green-1")
    balancer.register("blue", blue)
    balancer.register("green", green)
    await healthy(balancer, "blue", blue)
    await healthy(balancer, "green", green)
    return blue, green


async def only(balancer: Balancer, label: str) -> None:
    async def arrived() -> bool:
        try:
            return await builds(balancer.port, 5) == {label: 5}
        except OSError:
            return False

    await until(arrived, f"{label} gets everything")


async def test_envoy_killed_comes_back_with_the_state_on_disk_while_everything_else_is_away(
    balancer: Balancer, targets: Start
) -> None:
    await both(balancer, targets)
    balancer.weigh(0, 100)
    await only(balancer, "green-1")
    balancer.kill("controller")
    balancer.aws.kill()
    balancer.kill("envoy")
    balancer.start_envoy()
    await only(balancer, "green-1")


async def test_a_controller_that_was_away_catches_up(balancer: Balancer, targets: Start) -> None:
    await both(balancer, targets)
    balancer.kill("controller")
    balancer.weigh(0, 100)
    assert await builds(balancer.port) == {"blue-1": 40}
    balancer.start_controller()
    await only(balancer, "green-1")


async def test_without_the_aws_api_traffic_goes_on_and_weights_move_once_it_is_back(
    balancer: Balancer, targets: Start
) -> None:
    blue, green = await both(balancer, targets)
    balancer.aws.kill()
    assert await builds(balancer.port) == {"blue-1": 40}
    balancer.aws.start()
    await healthy(balancer, "green", green)
    await healthy(balancer, "blue", blue)
    balancer.weigh(0, 100)
    await only(balancer, "green-1")
    said = balancer.log("controller").splitlines()
    assert sum("cannot read the load balancers" in line for line in said) <= sum(
        "again" in line for line in said
    )
