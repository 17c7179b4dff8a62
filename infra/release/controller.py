"""Drives one run: asks the plan what to do, does it, and writes the journal before and after.

It holds no state of its own that a crash could lose: `drive` begins with what the journal says, and
repeating the effect that was under way is always allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from infra.release import plan
from infra.release.clock import Clock
from infra.release.journal import Ask, Journal, describe
from infra.release.lease import Lease
from infra.release.patience import patiently
from infra.release.state import Effect, Event, EventKind, Phase, Run


class Performer(Protocol):
    """Does effects. `poll` is called until it returns an event; it never blocks for long."""

    def poll(self, run: Run, effect: Effect) -> Event | None: ...


class Announcer(Protocol):
    """Tells people and metrics about a transition; never raises."""

    def announce(self, run: Run) -> None: ...


@dataclass(frozen=True, slots=True)
class Controller:
    """One process that drives the run it owns by `lease`."""

    journal: Journal
    lease: Lease
    performer: Performer
    announcer: Announcer
    clock: Clock
    poll_seconds: float
    watch: Callable[[Run], None] = lambda run: None
    """Called on every poll, for the live view."""

    def drive(self, run: Run) -> Run:
        """Take the run to its end, or to a stop that only an operator can lift (drift).

        Raises `LeaseLost` when another controller took over; then nothing more is touched.
        """
        run = self._announce(run)
        while not run.ended:
            effect = plan.effects(run)[0]
            self._write(run, f"{effect} …")
            event, ask = self._until_event(run, effect)
            before = run
            run, _ = plan.advance(run, event, self.clock.now())
            self._write(run, _line(before, run, effect, event), ask)
            run = self._announce(run)
            if event.kind is EventKind.DRIFT and run.phase is Phase.PAUSED:
                break
        return run

    def _until_event(self, run: Run, effect: Effect) -> tuple[Event, Ask | None]:
        while True:
            patiently(self.lease.keep, self.clock)
            self.watch(run)
            ask = patiently(partial(self.journal.asked, run.run_id), self.clock)
            if ask is not None:
                if plan.accepts(run, ask.kind):
                    return Event(ask.kind, f"{ask.reason or 'asked'} ({ask.by})"), ask
                patiently(partial(self.journal.drop, run.run_id, ask), self.clock)
            event = patiently(partial(self.performer.poll, run, effect), self.clock)
            if event is not None:
                return event, None
            self.clock.sleep(self.poll_seconds)

    def _announce(self, run: Run) -> Run:
        if run.announced == run.mark:
            return run
        self.watch(run)
        self.announcer.announce(run)
        run = replace(run, announced=run.mark)
        if run.ended:
            self._write(run, f"announced: {run.phase}")
        return run

    def _write(self, run: Run, text: str, taken: Ask | None = None) -> None:
        patiently(partial(self.journal.write, run, self.lease, text, taken), self.clock)


def _line(before: Run, after: Run, effect: Effect, event: Event) -> str:
    moved = f" → {after.phase}" if after.phase is not before.phase else ""
    return f"{effect} {describe(event)}{moved}"
