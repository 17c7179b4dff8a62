"""Does what the plan asks for. Each method is one look at one effect: an event, or `None` for "not yet"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from infra.errors import OperationFailed
from infra.release import guard
from infra.release.clock import Clock
from infra.release.fleet import Fleet, Migration
from infra.release.looks import Analysis, MigrationCheck, Smoke
from infra.release.probes import Probes
from infra.release.router import Router
from infra.release.settings import Profile, old_colour_life
from infra.release.state import Effect, Event, EventKind, Run
from infra.release.verdict import Judgement, Verdict
from infra.stack.outputs import Colour

DONE = Event(EventKind.DONE)
MARGIN: Final = 60.0
"""Seconds that a colour may take to stop beyond its drains."""


@dataclass(slots=True)
class Effects:
    """The hands of the controller. Holds nothing that a new process could not begin again."""

    router: Router
    fleet: Fleet
    smoke: Smoke
    analysis: Analysis
    migrations: MigrationCheck
    profile: Profile
    clock: Clock
    fence: Callable[[], None]
    """Raises `LeaseLost` when another controller has taken over: called before every change of traffic or
    capacity, because a look before it may have taken longer than the lease."""
    judgement: Judgement | None = None
    """The last one, for the live view."""
    _at: tuple[str, Effect] | None = None
    _begun: float = 0.0
    _migration: Migration | None = None
    _probes: Probes = field(init=False)
    _idle_since: float | None = None
    _ill_since: float | None = None
    _table: dict[Effect, Callable[[Run], Event | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._probes = Probes(self.smoke.probe, self.profile.probe_every, self.profile.min_requests)
        self._table = {
            Effect.CHECK: self.check,
            Effect.MIGRATE: self.migrate,
            Effect.CLEAR_NEW: self.clear_new,
            Effect.SET_IMAGE: self.set_image,
            Effect.POINT_TEST: lambda run: self.point_test(run.new),
            Effect.SCALE_UP: lambda run: self.scale_up(run.new, run.old),
            Effect.AWAIT_HEALTHY: lambda run: self.await_healthy(run.new),
            Effect.SMOKE: self.run_smoke,
            Effect.SET_WEIGHTS: self.set_weights,
            Effect.BAKE: self.bake,
            Effect.AWAIT_DATA: self.await_data,
            Effect.LINGER: self.linger,
            Effect.UNPIN: self.unpin,
            Effect.POINT_TEST_OLD: lambda run: self.point_test(run.old),
            Effect.STOP_OLD: self.stop_old,
            Effect.RECORD: lambda run: DONE,
            Effect.AWAIT_OPERATOR: self.await_operator,
            Effect.RESTORE_WEIGHTS: self.restore_weights,
            Effect.SET_OLD_IMAGE: self.set_old_image,
            Effect.REVIVE_OLD: lambda run: self.scale_up(run.old, run.new),
            Effect.AWAIT_OLD_HEALTHY: lambda run: self.await_healthy(run.old),
            Effect.STOP_NEW: self.stop_new,
        }

    def poll(self, run: Run, effect: Effect) -> Event | None:
        """Look once at `effect`; begin it on the first look."""
        if self._at != (run.mark, effect):
            self._at = (run.mark, effect)
            self._begun = self.clock.now()
            self._migration = None
            self._idle_since = self._ill_since = None
        try:
            return self._table[effect](run)
        except OperationFailed as failed:
            return _failed(failed.message)

    # forward

    def check(self, run: Run) -> Event | None:
        live = self.router.read()
        if live.weights != run.weights(0):
            return _failed(f"the live weights are {live.text()}, not {run.old} 100 {run.new} 0")
        sick = guard.unhealthy(self.router, run.old)
        if sick and not run.force and run.kind != "rollback":
            return _failed(f"{sick}; a release needs a way back (release over it with --force REASON)")
        if self.fleet.find_image(run.image) is None:
            return _failed(f"image {run.image} does not exist; push it first, a release pushes nothing")
        if (problem := self.migrations.problem(run)) and not run.force:
            return _failed(problem)
        return DONE

    def migrate(self, run: Run) -> Event | None:
        if run.kind == "rollback":
            return DONE
        if self._migration is None:
            self._migration = self.fleet.migrate(run.new, run.image)
        outcome = self._migration.poll()
        if outcome is None:
            return self._late(self.profile.migrate_timeout, "the migration has not ended")
        if outcome:
            return _failed(f"the migration failed: {outcome}")
        self.migrations.record()
        return DONE

    def clear_new(self, run: Run) -> Event | None:
        if event := guard.drift(run, self.router.read(), 0):
            return event
        return self._stop(run.new)

    def set_image(self, run: Run) -> Event | None:
        self.fleet.set_image(run.new, run.image)
        return DONE

    def point_test(self, colour: Colour) -> Event | None:
        self.router.point_test_listener(colour)
        return DONE

    def scale_up(self, colour: Colour, like: Colour) -> Event | None:
        self.fence()
        self.fleet.scale_up(colour, like)
        return DONE

    def await_healthy(self, colour: Colour) -> Event | None:
        rollout = self.fleet.rollout(colour)
        if rollout.problem:
            return _failed(f"{colour} does not start: {rollout.problem}")
        sick = guard.unhealthy(self.router, colour)
        if rollout.complete and sick is None and self.router.healthy(colour) >= rollout.desired:
            return DONE
        why = sick or f"{rollout.ready} of {rollout.desired} {colour} instances are ready"
        return self._late(self.profile.settle_timeout, why)

    def run_smoke(self, run: Run) -> Event | None:
        if not self.smoke.ready():
            return self._late(self.profile.settle_timeout, "the test listener does not answer")
        problem = self.smoke.check(run.version)
        return _failed(f"smoke test: {problem}") if problem else DONE

    def set_weights(self, run: Run) -> Event | None:
        if not run.trust_live and (event := guard.drift(run, self.router.read(), run.weight, run.target)):
            return event
        if sick := guard.unhealthy(self.router, run.new):
            return _failed(sick)
        self._route(run, run.target, pin=True)
        return DONE

    def bake(self, run: Run) -> Event | None:
        if event := self._watch_new(run):
            return event
        judgement = self._judge(run)
        if judgement.verdict is Verdict.FAIL:
            return _failed(judgement.reason)
        if self.clock.now() - run.entered_at < run.bake_seconds:
            return None
        if judgement.verdict is Verdict.PASS or run.force:
            return DONE
        return Event(EventKind.NO_DATA, judgement.reason)

    def await_data(self, run: Run) -> Event | None:
        if event := self._watch_new(run):
            return event
        judgement = self._judge(run)
        if judgement.verdict is Verdict.PASS:
            return DONE
        if judgement.verdict is Verdict.FAIL:
            return _failed(judgement.reason)
        return self._late(self.profile.no_data_patience, f"no data to judge {run.new} by: {judgement.reason}")

    def linger(self, run: Run) -> Event | None:
        """Hours, maybe: an instance that dies meanwhile is for the fleet to replace, in the time that it gets
        to start one, and alone takes the traffic back from nobody.
        """
        if event := guard.drift(run, self.router.read()):
            return event
        now = self.clock.now()
        sick = guard.unhealthy(self.router, run.new)
        self._ill_since = (self._ill_since or now) if sick else None
        for_long = self._ill_since is not None and now - self._ill_since >= self.profile.settle_timeout
        if sick and (for_long or self.router.healthy(run.new) == 0):
            return _failed(sick)
        shortest, longest = self.life(run)
        stayed = now - run.entered_at
        if self.fleet.in_flight(run.old) != 0:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        idle = self._idle_since is not None and now - self._idle_since >= self.profile.idle_for
        over = stayed >= longest or (stayed >= shortest and idle and self.profile.old_life == "idle")
        return DONE if over and not sick else None

    def unpin(self, run: Run) -> Event | None:
        live = self.router.read()
        if event := guard.drift(run, live, 100):
            return event
        if live.sticky:
            self._route(run, 100, pin=False)
        return DONE if self._waited(self.profile.propagation) else None

    def stop_old(self, run: Run) -> Event | None:
        if event := guard.drift(run, self.router.read(), 100):
            return event
        if sick := guard.unhealthy(self.router, run.new):
            return _failed(f"{run.old} stays up, because {sick}")
        return self._stop(run.old)

    def await_operator(self, run: Run) -> Event | None:
        return self._late(self.profile.pause_limit, "nobody resumed the paused release")

    # back

    def restore_weights(self, run: Run) -> Event | None:
        live = self.router.read()
        if live.weights != run.weights(0) and self.router.healthy(run.old) == 0:
            return Event(EventKind.OLD_DOWN, f"{run.old} has no healthy target to take the traffic back")
        if live.weights != run.weights(0) or live.sticky:
            self._route(run, 0, pin=False)
        return DONE

    def set_old_image(self, run: Run) -> Event | None:
        if run.old_image:
            self.fleet.set_image(run.old, run.old_image)
        return DONE

    def stop_new(self, run: Run) -> Event | None:
        if event := guard.drift(run, self.router.read(), 0):
            return event
        if not self._waited(self.profile.propagation):
            return None
        return self._stop(run.new)

    # shared

    def life(self, run: Run) -> tuple[float, float]:
        """Shortest and longest stay of the old colour in `linger`, seconds."""
        return old_colour_life(self.profile, run.stickiness_seconds, self.router.drain_seconds(run.old))

    def _watch_new(self, run: Run) -> Event | None:
        if event := guard.drift(run, self.router.read()):
            return event
        if sick := guard.unhealthy(self.router, run.new):
            return _failed(sick)
        return None

    def _judge(self, run: Run) -> Judgement:
        self.judgement = self.analysis.judge(run)
        self._probes.look(run, self.judgement.requests, self.clock.now())
        return self.judgement

    def _route(self, run: Run, new_weight: int, *, pin: bool) -> None:
        self.fence()
        seconds = run.stickiness_seconds
        self.router.write(run.weights(new_weight), pin=pin and seconds > 0, stickiness_seconds=seconds)

    def _stop(self, colour: Colour) -> Event | None:
        if self.fleet.stopped(colour):
            return DONE
        self.fence()
        self.fleet.scale_down(colour)
        # In AWS the drain of a target and the one of its machine follow each other.
        drains = 2 * self.router.drain_seconds(colour)
        return self._late(max(self.profile.stop_timeout, drains + MARGIN), f"{colour} has not stopped")

    def _waited(self, seconds: float) -> bool:
        return self.clock.now() - self._begun >= seconds

    def _late(self, seconds: float, what: str) -> Event | None:
        return _failed(f"{what} (after {seconds:.0f} s)") if self._waited(seconds) else None


def _failed(reason: str) -> Event:
    return Event(EventKind.FAILED, reason)
