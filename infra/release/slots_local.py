"""The local system's slots as the release sees them: processes by the supervisor, targets by ELBv2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infra.local import slots
from infra.local.slots import Slot
from infra.stack.outputs import Colour, StackOutputs


class LocalSlots:
    """Starts slots and registers them; deregisters them before it stops them."""

    def __init__(self, elbv2: Any, outputs: StackOutputs) -> None:
        self._elb = elbv2
        self._groups = outputs.target_group_arns

    def of(self, colour: Colour) -> Sequence[Slot]:
        return slots.slots(colour)

    def start(self, colour: Colour, version: str) -> None:
        """Start every slot with `version` and register it; what already runs it stays."""
        slots.start_colour(colour, version)
        self._elb.register_targets(TargetGroupArn=self._groups[colour], Targets=self._targets(colour))

    def most(self, colour: Colour) -> int:
        return len(slots.every(colour))

    def resize(self, colour: Colour, count: int) -> None:
        """Processes before targets on the way out, targets before processes on the way in."""
        group, known = self._groups[colour], slots.every(colour)
        leaving = [{"Id": slot.host, "Port": slot.port} for slot in known[count:]]
        if leaving:
            self._elb.deregister_targets(TargetGroupArn=group, Targets=leaving)
        slots.resize(colour, count)
        self._elb.register_targets(TargetGroupArn=group, Targets=self._targets(colour))

    def stop(self, colour: Colour) -> None:
        """Deregister, so that no new request comes, and let the processes drain and end."""
        group = self._groups[colour]
        answer = self._elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        states = {found["TargetHealth"]["State"] for found in answer}
        if states - {"draining", "unused"}:
            self._elb.deregister_targets(TargetGroupArn=group, Targets=self._targets(colour))
        slots.stop_colour(colour, wait=False)

    def running(self, colour: Colour) -> Sequence[str]:
        return slots.living(colour)

    def migrate_command(self) -> tuple[list[str], dict[str, str]]:
        return slots.migrate_command()

    def _targets(self, colour: Colour) -> list[dict[str, Any]]:
        return [{"Id": slot.host, "Port": slot.port} for slot in slots.slots(colour)]
