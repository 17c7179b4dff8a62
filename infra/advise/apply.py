"""Drives one change from plan to end: journal, act, wait until it is in force, watch, keep or undo.

Whatever kills this, `superagent advise --apply` goes on where the journal stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from infra.advise import change as step
from infra.advise.action import Action
from infra.advise.change import Change
from infra.advise.effect import Piece
from infra.advise.settings import Pace
from infra.errors import OperationFailed
from infra.release.clock import Clock
from infra.release.lease import Lease
from infra.release.source_prometheus import StoreDown

Measure = Callable[[Action, float], list[Piece]]
"""The pieces that end at a moment (epoch seconds), of what an action touches. Raises `StoreDown`."""


class Journal(Protocol):
    def write(self, change: Change, lease: Lease) -> None: ...


class Doer(Protocol):
    def do(self, action: Action) -> None: ...

    def undo(self, action: Action) -> None: ...

    def problem(self, action: Action) -> str: ...


@dataclass(slots=True)
class Driver:
    """Goes on with a change until it has ended. The caller holds the lease."""

    journal: Journal
    lease: Lease
    hands: Doer
    measure: Measure
    pace: Pace
    clock: Clock
    tell: Callable[[str], None]

    def run(self, change: Change) -> Change:
        """The ended change. Raises `LeaseLost` when another process took over."""
        if change.phase == "planned":
            self.journal.write(change, self.lease)
        while not change.ended:
            change = self._next(change)
            self.journal.write(change, self.lease)
        return change

    def _next(self, change: Change) -> Change:
        self.lease.keep()
        if change.phase == "planned":
            return self._act(change)
        if change.phase == "acted":
            return self._await(change)
        if change.phase == "watching":
            return self._watch(change)
        self.tell(f"taking it back: {change.note}; {change.action.undo_text()}")
        self.hands.undo(change.action)
        return step.undone(change, self.clock.now())

    def _act(self, change: Change) -> Change:
        self.tell(change.action.text())
        try:
            self.hands.do(change.action)
        except OperationFailed as failed:
            return step.given_up(change, f"it could not be done: {failed.message}")
        return step.acted(change, self.clock.now())

    def _await(self, change: Change) -> Change:
        """The time counts from the action, also for the process that goes on with it after a death."""
        while True:
            try:
                problem = self.hands.problem(change.action)
            except OperationFailed as failed:
                return step.given_up(change, f"it did not come into force: {failed.message}")
            if not problem:
                return step.in_force(change, self.clock.now())
            if self.clock.now() > change.acted_at + self.pace.timeout:
                return step.given_up(
                    change, f"it was not in force after {self.pace.timeout:.0f} s: {problem}"
                )
            self._pause(self.pace.poll)

    def _watch(self, change: Change) -> Change:
        until = change.in_force_at + self.pace.settle + self.pace.watch
        self.tell(f"in force; watching for {max(0.0, until - self.clock.now()):.0f} s")
        while (left := until - self.clock.now()) > 0:
            self._pause(min(self.pace.poll, left))
        try:
            after = self.measure(change.action, until)
        except StoreDown as down:
            self.tell(f"its effect cannot be measured: {down}")
            after = []
        return step.judged(change, after, self.pace, self.clock.now())

    def _pause(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.lease.keep()
