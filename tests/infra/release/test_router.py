"""Weights are written in one call, read back, and never send traffic nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from infra.errors import UserError
from infra.release.router import Router, WeightsDiffer
from tests.infra.release.world import World, client


@pytest.fixture
def router(world: World) -> Router:
    return Router(client("elbv2"), world.outputs)


def test_what_is_written_is_what_is_read(router: Router) -> None:
    router.write({"blue": 30, "green": 70}, pin=True, stickiness_seconds=600)
    live = router.read()
    assert (live.weights, live.sticky, live.stickiness_seconds) == ({"blue": 30, "green": 70}, True, 600)
    router.write({"blue": 0, "green": 100}, pin=False, stickiness_seconds=600)
    live = router.read()
    assert (live.weights, live.sticky, live.stickiness_seconds) == ({"blue": 0, "green": 100}, False, 600)


@pytest.mark.parametrize(
    "weights", [{"blue": 0, "green": 0}, {"blue": 50, "green": 60}, {"blue": 100}, {"blue": -1, "green": 101}]
)
def test_weights_that_lose_traffic_are_refused_before_any_call(router: Router, weights: Any) -> None:
    with pytest.raises(ValueError, match="add up to 100"):
        router.write(weights, pin=False, stickiness_seconds=600)
    assert router.read().weights == {"blue": 100, "green": 0}


def test_a_write_that_does_not_take_is_noticed(world: World) -> None:
    class Deaf:
        """An API that says yes and does nothing."""

        def modify_listener(self, **_: Any) -> dict[str, Any]:
            return {}

        def describe_listeners(self, **request: Any) -> Any:
            return client("elbv2").describe_listeners(**request)

    with pytest.raises(WeightsDiffer, match="read back blue 100 green 0"):
        Router(Deaf(), world.outputs).write({"blue": 50, "green": 50}, pin=True, stickiness_seconds=60)


def test_a_stranger_in_the_listener_is_refused(world: World, router: Router) -> None:
    other = client("elbv2").create_target_group(
        Name="other", Protocol="HTTP", Port=80, VpcId=world.outputs.vpc_id
    )
    arn = other["TargetGroups"][0]["TargetGroupArn"]
    client("elbv2").modify_listener(
        ListenerArn=world.outputs.listener_arn, DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}]
    )
    with pytest.raises(UserError, match="neither colour"):
        router.read()


def test_a_listener_with_a_single_group_gives_it_everything(world: World, router: Router) -> None:
    arn = world.outputs.target_group_arns["green"]
    client("elbv2").modify_listener(
        ListenerArn=world.outputs.listener_arn, DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}]
    )
    assert router.read().weights == {"blue": 0, "green": 100}


def test_the_test_listener_follows(router: Router) -> None:
    router.point_test_listener("blue")
    router.point_test_listener("blue")
    router.point_test_listener("green")
    assert router._test_group() == router._groups["green"]


def test_targets_tell_their_health(world: World, router: Router) -> None:
    group = world.outputs.target_group_arns["blue"]
    client("elbv2").register_targets(TargetGroupArn=group, Targets=[{"Id": "10.0.0.5", "Port": 8000}])
    (target,) = router.targets("blue")
    assert (target.target_id, target.port, target.state) == ("10.0.0.5", 8000, "healthy")
    assert router.healthy("blue") == 1
    assert router.drain_seconds("blue") == 5
