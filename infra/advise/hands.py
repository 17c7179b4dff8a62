"""What a change does to the world, through the Fleet and the settings API; each call may be repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from infra.advise.action import Action
from infra.advise.observed import Setting
from infra.errors import OperationFailed
from infra.release.fleet import Capacity, Rollout
from infra.stack.outputs import COLOURS, Colour


class Sizes(Protocol):
    """The part of `Fleet` that is needed here."""

    def capacity(self, colour: Colour) -> Capacity: ...

    def resize(self, colour: Colour, instances: int) -> None: ...

    def rollout(self, colour: Colour) -> Rollout: ...


class Settings(Protocol):
    """The service's runtime settings (`infra/advise/service_api.py`)."""

    def read(self) -> Mapping[str, Setting]: ...

    def put(self, name: str, value: int) -> None: ...

    def remove(self, name: str) -> None: ...


class Hands:
    """Does and undoes actions. `healthy` is the number of a colour's targets that the load balancer uses."""

    def __init__(self, fleet: Sizes, settings: Settings, healthy: Callable[[Colour], int]) -> None:
        self._fleet = fleet
        self._settings = settings
        self._healthy = healthy

    def do(self, action: Action) -> None:
        """Raises `OperationFailed` when it may not be done, or when somebody else changed the same since."""
        now = self.value(action)
        if now == action.after:
            return
        if now != action.before:
            raise OperationFailed(f"somebody else set {action.target} to {now} since this was planned")
        if action.kind == "scale":
            self._fleet.resize(_colour(action), action.after)
        else:
            self._settings.put(action.target, action.after)

    def undo(self, action: Action) -> None:
        """Only what is still as `do` left it: a later hand knew more."""
        if self.value(action) != action.after:
            return
        if action.kind == "scale":
            self._fleet.resize(_colour(action), action.before)
        elif action.inherited:
            self._settings.remove(action.target)
        else:
            self._settings.put(action.target, action.before)

    def value(self, action: Action) -> int | None:
        """What the world says now; `None` when it does not know such a thing."""
        if action.kind == "scale":
            return self._fleet.capacity(_colour(action)).desired
        found = self._settings.read().get(action.target)
        return found.value if found is not None else None

    def problem(self, action: Action) -> str:
        """Why the action is not in force yet; empty when it is."""
        if action.kind == "setting":
            now = self.value(action)
            return "" if now == action.after else f"{action.target} is {now}"
        colour = _colour(action)
        rollout = self._fleet.rollout(colour)
        if rollout.problem:
            raise OperationFailed(rollout.problem)
        if not rollout.complete:
            return f"{rollout.ready} of {rollout.desired} instances run"
        healthy = self._healthy(colour)
        return "" if healthy >= action.after else f"{healthy} of {action.after} targets are healthy"


def _colour(action: Action) -> Colour:
    for colour in COLOURS:
        if colour == action.target:
            return colour
    raise OperationFailed(f"There is no colour {action.target!r}.")
