"""Which colour has the traffic, and its slots as targets: read from and told to the ELBv2 API."""

from __future__ import annotations

from typing import Any

from infra.local.slots import Slot
from infra.stack import environment
from infra.stack.outputs import COLOURS, Colour


def weights(stack: environment.Environment) -> dict[Colour, int]:
    """The production listener's weight of each colour: the truth about which one is active."""
    arn = stack.outputs.listener_arn
    listener = stack.client("elbv2").describe_listeners(ListenerArns=[arn])["Listeners"][0]
    forward = next(action for action in listener["DefaultActions"] if action["Type"] == "forward")
    groups = {
        group["TargetGroupArn"]: group.get("Weight", 0) for group in forward["ForwardConfig"]["TargetGroups"]
    }
    return {colour: groups.get(stack.outputs.target_group_arns[colour], 0) for colour in COLOURS}


def register(stack: environment.Environment, colour: Colour, slots: list[Slot]) -> None:
    """Make a colour's target group hold exactly these slots; others of it belong to earlier ports."""
    client = stack.client("elbv2")
    arn = stack.outputs.target_group_arns[colour]
    wanted = {(slot.host, slot.port) for slot in slots}
    known = {
        (one["Target"]["Id"], one["Target"]["Port"])
        for one in client.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        if one["TargetHealth"]["State"] != "draining"
    }
    # In this order: the emulator tells targets apart by address alone, so the other one would end with none.
    if stale := known - wanted:
        client.deregister_targets(TargetGroupArn=arn, Targets=_targets(stale))
    if missing := wanted - known:
        client.register_targets(TargetGroupArn=arn, Targets=_targets(missing))


def unhealthy(stack: environment.Environment, colour: Colour, slots: list[Slot]) -> list[str]:
    """Slots that the load balancer does not use, with its reason; asked for these, it forgets none."""
    arn = stack.outputs.target_group_arns[colour]
    wanted = _targets({(slot.host, slot.port) for slot in slots})
    found = stack.client("elbv2").describe_target_health(TargetGroupArn=arn, Targets=wanted)
    return [
        f"{one['Target']['Id']} {one['TargetHealth']['State']}"
        for one in found["TargetHealthDescriptions"]
        if one["TargetHealth"]["State"] != "healthy"
    ]


def _targets(addresses: set[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"Id": host, "Port": port} for host, port in sorted(addresses)]
