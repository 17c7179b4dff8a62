"""Where the traffic goes: the listener's weights in ELBv2, written by nobody but this file.

Every write is read back. Group stickiness is on only while both colours take traffic: it beats weights,
so turning it off is what brings pinned clients back (`pin=False`) before a colour goes away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from infra.errors import OperationFailed, UserError
from infra.stack.outputs import COLOURS, Colour, StackOutputs

DEFAULT_STICKINESS: Final = 86_400
"""Seconds, when the listener does not say: the longest session (DESIGN, component `edge`)."""

HealthState = Literal["initial", "healthy", "unhealthy", "draining", "unused", "unavailable"]


@dataclass(frozen=True, slots=True)
class Routing:
    """The production listener's default action as it is now."""

    weights: dict[Colour, int]
    sticky: bool
    stickiness_seconds: int

    def text(self) -> str:
        return " ".join(f"{colour} {weight}" for colour, weight in self.weights.items())


@dataclass(frozen=True, slots=True)
class Target:
    """One target as the load balancer sees it."""

    target_id: str
    port: int
    state: HealthState
    reason: str


class WeightsDiffer(OperationFailed):
    """What was read back is not what was written."""


class Router:
    """Reads and writes the weights of one environment; both listeners, both target groups."""

    def __init__(self, elbv2: Any, outputs: StackOutputs) -> None:
        self._elb = elbv2
        self._listener = outputs.listener_arn
        self._test_listener = outputs.test_listener_arn
        self._groups = outputs.target_group_arns

    def read(self) -> Routing:
        """Live weights; a group that the listener does not name has weight 0."""
        action = self._forward(self._listener)
        config = action.get("ForwardConfig") or {}
        found = {
            group["TargetGroupArn"]: int(group.get("Weight", 1)) for group in config.get("TargetGroups", [])
        }
        if not found and "TargetGroupArn" in action:
            found = {action["TargetGroupArn"]: 100}
        strangers = sorted(set(found) - set(self._groups.values()))
        if strangers:
            raise UserError(
                f"The production listener forwards to a target group of neither colour: {strangers[0]}.",
                "Remove it from the listener's default action, then try again.",
            )
        sticky = config.get("TargetGroupStickinessConfig") or {}
        return Routing(
            weights={colour: found.get(self._groups[colour], 0) for colour in COLOURS},
            sticky=bool(sticky.get("Enabled")),
            stickiness_seconds=int(sticky.get("DurationSeconds") or DEFAULT_STICKINESS),
        )

    def write(self, weights: dict[Colour, int], *, pin: bool, stickiness_seconds: int) -> Routing:
        """Set both weights and group stickiness in one call, and read them back.

        Raises `WeightsDiffer` when the listener says something else afterwards, `ValueError` for weights
        that would send traffic nowhere.
        """
        if min(weights.values()) < 0 or sum(weights.values()) != 100 or set(weights) != set(COLOURS):
            raise ValueError(f"weights must name both colours and add up to 100, not {weights}")
        groups = [{"TargetGroupArn": self._groups[colour], "Weight": weights[colour]} for colour in COLOURS]
        # ALB accepts 1 s to 7 days and wants a duration only with Enabled; it keeps the one it is given.
        sticky = {"Enabled": pin, "DurationSeconds": max(1, stickiness_seconds)}
        config = {"TargetGroups": groups, "TargetGroupStickinessConfig": sticky}
        self._elb.modify_listener(
            ListenerArn=self._listener, DefaultActions=[{"Type": "forward", "ForwardConfig": config}]
        )
        live = self.read()
        if live.weights != weights or live.sticky != pin:
            raise WeightsDiffer(
                f"Wrote {weights} to the listener and read back {live.text()}: somebody else writes there."
            )
        return live

    def point_test_listener(self, colour: Colour) -> None:
        """Let the test listener forward to this colour alone, and read it back."""
        group = self._groups[colour]
        if self._test_group() == group:
            return
        self._elb.modify_listener(
            ListenerArn=self._test_listener,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
        )
        if self._test_group() != group:
            raise WeightsDiffer(f"The test listener does not forward to {colour} after it was told to.")

    def test_address(self) -> tuple[str, int]:
        """Protocol (`HTTP` or `HTTPS`) and port of the test listener."""
        listener = self._describe(self._test_listener)
        return str(listener["Protocol"]), int(listener["Port"])

    def address(self) -> tuple[str, int]:
        """Protocol and port of the production listener."""
        listener = self._describe(self._listener)
        return str(listener["Protocol"]), int(listener["Port"])

    def targets(self, colour: Colour) -> list[Target]:
        """Health of every target of a colour, as the load balancer reports it."""
        answer = self._elb.describe_target_health(TargetGroupArn=self._groups[colour])
        return [
            Target(
                target_id=found["Target"]["Id"],
                port=int(found["Target"].get("Port", 0)),
                state=found["TargetHealth"]["State"],
                reason=found["TargetHealth"].get("Description") or found["TargetHealth"].get("Reason", ""),
            )
            for found in answer["TargetHealthDescriptions"]
        ]

    def healthy(self, colour: Colour) -> int:
        """Number of healthy targets."""
        return sum(target.state == "healthy" for target in self.targets(colour))

    def drain_seconds(self, colour: Colour) -> int:
        """The group's deregistration delay: the longest that an open request may still take."""
        answer = self._elb.describe_target_group_attributes(TargetGroupArn=self._groups[colour])
        values = {found["Key"]: found["Value"] for found in answer["Attributes"]}
        return int(values.get("deregistration_delay.timeout_seconds", 300))

    def _test_group(self) -> str | None:
        action = self._forward(self._test_listener)
        groups = (action.get("ForwardConfig") or {}).get("TargetGroups", [])
        if groups:
            return groups[0]["TargetGroupArn"] if len(groups) == 1 else None
        found: str | None = action.get("TargetGroupArn")
        return found

    def _forward(self, listener_arn: str) -> dict[str, Any]:
        actions: list[dict[str, Any]] = self._describe(listener_arn)["DefaultActions"]
        by_order: Callable[[dict[str, Any]], int] = lambda action: int(action.get("Order", 1))  # noqa: E731
        for action in sorted(actions, key=by_order):
            if action["Type"] == "forward":
                return action
        raise UserError(
            f"Listener {listener_arn} forwards nowhere.",
            "Run `pulumi up` (or `superagent up`) to restore it.",
        )

    def _describe(self, listener_arn: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = self._elb.describe_listeners(ListenerArns=[listener_arn])["Listeners"]
        return found[0]
