"""How fast and how strictly each environment releases. One table of profiles; options on the command win."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from infra.errors import UserError
from infra.stack import pace
from infra.stack.outputs import StackOutputs
from infra.stack.profiles import EnvironmentName
from infra.stack.profiles import profile as stack_profile

OldLife = Literal["idle", "sessions"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the new colour may do worse than the old one before the release turns back."""

    error_ratio: float = 0.01
    """Share of 5xx answers that is never a breach by itself; above it the old colour is the measure."""
    latency_factor: float = 1.5
    """New p95 (p99) over the old one; a breach also needs `latency_floor` and significance."""
    latency_floor: float = 0.05
    """Seconds that the new quantile must be above the old one."""
    ttft_factor: float = 1.5
    """The same for the time to the first token."""
    stream_abort_ratio: float = 0.02
    """Share of provider calls that ended broken, like `error_ratio`."""
    cost_factor: float = 1.5
    """Cost per request, new over old."""
    cpu_seconds: float = 0.9
    """CPU seconds a second and instance at which the new colour counts as saturated."""
    cpu_factor: float = 1.5
    """... provided that a request also costs so much more CPU than on the old colour."""
    confidence_z: float = 2.33
    """Standard normal quantile a difference must reach (2.33: one false alarm in a hundred looks)."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything about pace; seconds unless said otherwise."""

    steps: tuple[int, ...]
    bake: float
    settle_timeout: float
    """From scale-up to every target healthy."""
    migrate_timeout: float
    stop_timeout: float
    """From scale-down to no instance left; longer than the longest drain."""
    old_life: OldLife
    """`sessions`: stickiness + drain. `idle`: until no request came for `idle_for`, at most that long."""
    idle_for: float
    old_life_limit: float
    """Upper bound of the old colour's life; 0: stickiness + drain."""
    propagation: float
    """From a change of the listener until no new request follows the old weights any more."""
    rollback_window: float
    """The old colour stays at least so long after it lost its last traffic."""
    no_data_patience: float
    """Pause for data to appear; then abort."""
    pause_limit: float
    """An operator's pause ends in an abort after this."""
    lease: float
    poll: float
    min_requests: int
    """Requests a bake must have seen on the new colour; the tool's own probes count."""
    probe_every: float
    """Pause between probes through the test listener while baking; 0: none."""
    limits: Limits = Limits()


def _pace(name: EnvironmentName) -> dict[str, Any]:
    """Steps and bake of an environment that configures none: one table says them, infra/stack/profiles.py."""
    row = stack_profile(name)
    return {"steps": pace.named(row["release_steps"]), "bake": row["release_bake_seconds"]}


PROFILES: Final[dict[str, Profile]] = {
    "local": Profile(
        **_pace("local"),
        settle_timeout=60.0,
        migrate_timeout=60.0,
        stop_timeout=60.0,
        old_life="idle",
        idle_for=1.0,
        old_life_limit=5.0,
        propagation=1.0,
        rollback_window=2.0,
        no_data_patience=10.0,
        pause_limit=3_600.0,
        lease=6.0,
        poll=0.1,
        min_requests=3,
        probe_every=0.25,
        # Everything shares one machine here: its own noise reaches a hundred milliseconds.
        limits=Limits(latency_factor=2.0, latency_floor=0.25),
    ),
    "dev": Profile(
        **_pace("dev"),
        settle_timeout=600.0,
        migrate_timeout=600.0,
        stop_timeout=900.0,
        old_life="idle",
        idle_for=60.0,
        old_life_limit=1_800.0,
        propagation=15.0,
        rollback_window=300.0,
        no_data_patience=300.0,
        pause_limit=14_400.0,
        lease=60.0,
        poll=2.0,
        min_requests=20,
        probe_every=5.0,
    ),
}
PROFILES["staging"] = replace(
    PROFILES["dev"], **_pace("staging"), rollback_window=1_800.0, old_life_limit=7_200.0
)
PROFILES["prod"] = replace(
    PROFILES["dev"],
    **_pace("prod"),
    old_life="sessions",
    old_life_limit=0.0,
    rollback_window=3_600.0,
    no_data_patience=600.0,
    pause_limit=86_400.0,
    min_requests=100,
)


def profile(environment: str) -> Profile:
    """The profile of an environment; `UserError` names the ones there are."""
    try:
        return PROFILES[environment]
    except KeyError:
        raise UserError(
            f"There is no release profile for environment {environment!r}.",
            f"Known: {', '.join(PROFILES)}; add it to infra/release/settings.py.",
        ) from None


def of_stack(outputs: StackOutputs) -> Profile:
    """The profile of an environment with the pace that its stack is configured with. Raises `UserError`."""
    chosen = profile(outputs.environment)
    if outputs.release_steps:
        if problem := pace.wrong(outputs.release_steps):
            raise UserError(
                f"The stack's superagent:release_steps {list(outputs.release_steps)}: {problem}.",
                "Mend the key in Pulumi.<stack>.yaml and run `pulumi up`, or give --steps.",
            )
        chosen = replace(chosen, steps=tuple(outputs.release_steps))
    if outputs.release_bake_seconds is not None:
        chosen = replace(chosen, bake=float(outputs.release_bake_seconds))
    return chosen


def parse_steps(text: str) -> tuple[int, ...]:
    """`"10,50,100"` as per cents that grow to 100; `UserError` says which one is wrong."""
    try:
        steps = tuple(int(part.strip().removesuffix("%")) for part in text.split(","))
    except ValueError:
        raise UserError(
            f"--steps {text!r} is not a list of per cents.", "Write for example 10,50,100."
        ) from None
    if problem := pace.wrong(steps):
        raise UserError(f"--steps {text!r}: {problem}.", "Write for example 10,50,100.")
    return steps


def parse_seconds(text: str, option: str) -> float:
    """`"5s"`, `"2m"`, `"1h"` or plain seconds; bounded to a day."""
    units = {"s": 1.0, "m": 60.0, "h": 3_600.0}
    unit = units.get(text[-1:], 0.0)
    try:
        seconds = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise UserError(
            f"{option} {text!r} is not a time from 0 to 24 h.", "Write for example 30s, 5m or 1h."
        )
    return seconds


def old_colour_life(chosen: Profile, stickiness_seconds: int, drain_seconds: int) -> tuple[float, float]:
    """Shortest and longest time the old colour stays after it lost its last traffic, in seconds."""
    longest = float(stickiness_seconds + drain_seconds)
    if chosen.old_life_limit:
        longest = min(longest, chosen.old_life_limit)
    longest = max(longest, chosen.rollback_window)
    shortest = longest if chosen.old_life == "sessions" else max(chosen.rollback_window, chosen.idle_for)
    return shortest, longest
