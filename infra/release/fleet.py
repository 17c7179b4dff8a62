"""What runs a colour: the same promises for auto scaling groups, Deployments and local processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from infra.errors import OperationFailed
from infra.stack.outputs import Colour


@dataclass(frozen=True, slots=True)
class Instance:
    """One machine, pod or process of a colour."""

    name: str
    version: str
    """Image it was started with; empty when it cannot be told."""
    ready: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far a colour is on its way to the capacity that was asked for."""

    desired: int
    ready: int
    problem: str = ""
    """Why it will not get there by itself; empty while it may."""

    @property
    def complete(self) -> bool:
        return self.desired > 0 and self.ready >= self.desired


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many instances a colour is meant to have, and between which bounds that may change."""

    desired: int
    minimum: int
    maximum: int


class Migration(Protocol):
    """Expand migrations of one image, under way."""

    def poll(self) -> str | None:
        """`None` while it runs, an empty string when it is done, else why it failed."""
        ...


class Fleet(Protocol):
    """Both colours' capacity. Every call may be repeated; none touches traffic weights."""

    def image(self, colour: Colour) -> str:
        """The image that new instances of this colour get; empty when there never was one."""
        ...

    def set_image(self, colour: Colour, image: str) -> None:
        """Choose the image for new instances, and read it back. Running ones keep theirs."""
        ...

    def find_image(self, image: str) -> str | None:
        """The immutable name of an image that exists, or `None`."""
        ...

    def scale_up(self, colour: Colour, like: Colour) -> None:
        """Ask for as many instances as the other colour has (never fewer than one, or than it has itself)."""
        ...

    def rollout(self, colour: Colour) -> Rollout:
        """Where the scaling stands."""
        ...

    def capacity(self, colour: Colour) -> Capacity:
        """Size and bounds of a colour that runs."""
        ...

    def resize(self, colour: Colour, instances: int) -> None:
        """Ask for so many instances of a colour that runs; those too many drain first. Outside of releases.

        Raises `OperationFailed` beyond the bounds of `capacity`.
        """
        ...

    def scale_down(self, colour: Colour) -> None:
        """Ask for none. Instances drain: open requests end first."""
        ...

    def stopped(self, colour: Colour) -> bool:
        """Whether no instance is left."""
        ...

    def instances(self, colour: Colour) -> list[Instance]:
        """What runs now, for `status`."""
        ...

    def in_flight(self, colour: Colour) -> int | None:
        """Open requests of a colour; `None` when it cannot be known here."""
        ...

    def migrate(self, colour: Colour, image: str) -> Migration:
        """Start `python -m service migrate` of `image`; `colour` is the idle one."""
        ...


def within(capacity: Capacity, colour: Colour, instances: int) -> None:
    """Raise `OperationFailed` for a size that a colour may not have."""
    if not capacity.minimum <= instances <= capacity.maximum:
        raise OperationFailed(
            f"{colour} may have {capacity.minimum} to {capacity.maximum} instances, not {instances}"
        )
