"""A change that can be made and taken back: what is journalled before it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Goal = Literal["faster", "free", "cheaper"]


@dataclass(frozen=True, slots=True)
class Action:
    """`scale` sets how many instances a colour has, `setting` a runtime setting of the service.

    Both name the value wanted and not a difference, so that doing one twice is doing it once.
    """

    kind: Literal["scale", "setting"]
    target: str
    """Colour, or name of the setting."""
    before: int
    after: int
    goal: Goal
    """`faster` costs money: it stays only when it helped. `free` and `cheaper` stay unless they hurt."""
    inherited: bool = False
    """`before` is the environment's value: taking the change back removes the runtime one."""

    def text(self) -> str:
        if self.kind == "scale":
            return f"scale {self.target} from {self.before} to {self.after} instances"
        return f"set {self.target} from {self.before} to {self.after}"

    def undo_text(self) -> str:
        if self.kind == "scale":
            return f"scale {self.target} back to {self.before} instances"
        whose = " (the environment's)" if self.inherited else ""
        return f"set {self.target} back to {self.before}{whose}"
