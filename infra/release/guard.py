"""The checks that stand before every shift and every teardown: live weights and target health."""

from __future__ import annotations

from infra.release.router import Router, Routing
from infra.release.state import Event, EventKind, Phase, Run
from infra.release.typed import typed
from infra.stack.outputs import Colour


def drift(run: Run, live: Routing, *allowed: int) -> Event | None:
    """An event when the live weight of the new colour is none of the allowed ones (per cent)."""
    expected = allowed or (run.weight,)
    if any(live.weights == run.weights(weight) for weight in expected):
        return None
    wanted = " or ".join(f"{run.old} {100 - weight} {run.new} {weight}" for weight in expected)
    return Event(
        EventKind.DRIFT,
        f"the live weights are {live.text()}, this release wrote {wanted}: somebody changed them by hand. "
        f"Nothing was touched. {_ways_out(run)}",
    )


def _ways_out(run: Run) -> str:
    resume, abort = (f"`{typed(verb, run.environment)}`" for verb in ("resume", "abort"))
    if run.phase is Phase.LAUNCH:
        return f"Give {run.old} all traffic and {resume}, or {abort} gives it all traffic"
    if run.phase is Phase.WITHDRAW:
        return f"{run.new} stays up, and this release has ended; give one colour all traffic by hand"
    return (
        f"{resume} writes the intended weights again and goes on, "
        f"{abort} gives all traffic back to the old colour"
    )


def unhealthy(router: Router, colour: Colour) -> str | None:
    """Why a colour should not take traffic, or `None`. New targets don't count against it."""
    targets = [target for target in router.targets(colour) if target.state not in ("draining", "unused")]
    sick = [target for target in targets if target.state not in ("healthy", "initial")]
    if sick:
        first = sick[0]
        why = f": {first.reason}" if first.reason else ""
        return f"{len(sick)} of {len(targets)} {colour} targets are {first.state} ({first.target_id}{why})"
    if not any(target.state == "healthy" for target in targets):
        return f"{colour} has no healthy target"
    return None
