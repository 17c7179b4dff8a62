"""What a release would do, line by line: the plan itself, walked without touching anything."""

from __future__ import annotations

from dataclasses import dataclass

from infra.release import plan
from infra.release.settings import Profile, old_colour_life
from infra.release.state import Effect, Event, EventKind, Phase, Run


@dataclass(frozen=True, slots=True)
class Line:
    """One effect that would be performed."""

    phase: Phase
    effect: Effect
    text: str


def walk(run: Run, profile: Profile, drain_seconds: int) -> list[Line]:
    """The way forward when everything goes well, from the same table that the controller follows."""
    lines: list[Line] = []
    while not run.ended:
        effect = plan.effects(run)[0]
        lines.append(Line(run.phase, effect, describe(run, effect, profile, drain_seconds)))
        run, _ = plan.advance(run, Event(EventKind.DONE), run.entered_at)
    return lines


def describe(run: Run, effect: Effect, profile: Profile, drain_seconds: int) -> str:
    """One effect in words, with its numbers."""
    shortest, longest = old_colour_life(profile, run.stickiness_seconds, drain_seconds)
    life = (
        f"{longest:.0f} s" if shortest == longest else f"{shortest:.0f} to {longest:.0f} s, until it is idle"
    )
    limits = profile.limits
    texts = {
        Effect.CHECK: f"check: {run.old} has all traffic and is healthy, image {run.image} exists, "
        "pending migrations only expand",
        Effect.MIGRATE: f"run `service migrate` of {run.image} (at most {profile.migrate_timeout:.0f} s)",
        Effect.CLEAR_NEW: f"make sure that nothing runs on {run.new} (it has weight 0)",
        Effect.SET_IMAGE: f"ssm:PutParameter, image of {run.new} = {run.image}",
        Effect.POINT_TEST: f"elbv2:ModifyListener, test listener → {run.new}",
        Effect.SCALE_UP: f"give {run.new} the capacity of {run.old}",
        Effect.AWAIT_HEALTHY: f"wait for healthy {run.new} targets (at most {profile.settle_timeout:.0f} s)",
        Effect.SMOKE: f"smoke tests through the test listener; {run.version} must answer",
        Effect.SET_WEIGHTS: f"elbv2:ModifyListener, {run.old} {100 - run.target} % {run.new} {run.target} %, "
        "read back",
        Effect.BAKE: f"watch for {run.bake_seconds:g} s: 5xx ≤ {limits.error_ratio:.1%} or as {run.old}, "
        f"p95/p99 ≤ {limits.latency_factor:g}×, first token ≤ {limits.ttft_factor:g}×, "
        f"cost ≤ {limits.cost_factor:g}×; worse aborts at once",
        Effect.LINGER: f"{run.old} stays for rollback and pinned clients: {life}",
        Effect.UNPIN: f"elbv2:ModifyListener, group stickiness off: the last clients leave {run.old}",
        Effect.POINT_TEST_OLD: f"elbv2:ModifyListener, test listener → {run.old}",
        Effect.STOP_OLD: f"scale {run.old} to none; open requests end first (at most {drain_seconds} s)",
        Effect.RECORD: "record the release, free the lease",
    }
    return texts.get(effect, str(effect))


def idle_at(run: Run, profile: Profile, drain_seconds: int) -> float | None:
    """When the old colour will be idle at the latest, if all goes well (epoch seconds).

    Steps that are left, its life (stickiness + drain, or what the profile allows), the unpinning of the last
    clients, the end of its open requests. `None` before traffic moves, in a pause and on the way back.
    """
    life = old_colour_life(profile, run.stickiness_seconds, drain_seconds)[1]
    rest = {
        Phase.SHIFT: (len(run.steps) - run.step) * run.bake_seconds + life + profile.propagation,
        Phase.BAKE: (len(run.steps) - run.step) * run.bake_seconds + life + profile.propagation,
        Phase.WAIT_DATA: profile.no_data_patience
        + (len(run.steps) - run.step - 1) * run.bake_seconds
        + life
        + profile.propagation,
        Phase.LINGER: life + profile.propagation,
        Phase.UNPIN: profile.propagation,
        Phase.RETIRE: 0.0,
    }
    return run.entered_at + rest[run.phase] + drain_seconds if run.phase in rest else None
