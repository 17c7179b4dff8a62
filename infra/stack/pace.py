"""By which steps a release moves traffic: the named strategies, and what a list of steps must look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

STRATEGIES: Final[dict[str, tuple[int, ...]]] = {
    "canary": (5, 25, 50, 100),
    "linear": (20, 40, 60, 80, 100),
    "all-at-once": (100,),
}
"""Per cents of traffic for the new colour, one after the other."""


def named(value: Any) -> Any:
    """The per cents of a strategy's name; anything but text as it is. `ValueError` for another name."""
    if not isinstance(value, str):
        return value
    try:
        return STRATEGIES[value]
    except KeyError:
        known = ", ".join(STRATEGIES)
        raise ValueError(
            f"neither a strategy ({known}) nor a list of per cents such as [10, 50, 100]"
        ) from None


def wrong(steps: Sequence[int]) -> str | None:
    """Why these are no steps of a release, or `None`."""
    if not steps:
        return "there is no step"
    for before, step in zip((0, *steps), steps, strict=False):
        if step <= before or step > 100:
            return f"{step} does not grow within 1 to 100"
    return None if steps[-1] == 100 else f"ends at {steps[-1]} %, the last step must be 100"
