"""The circuit breaker of one provider: stop asking who does not answer, and find out when it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NewType

CLOSED: Final = 0
OPEN: Final = 1
HALF_OPEN: Final = 2

# The era in which a call was admitted. A result from an earlier era says nothing about this one:
# a call begun before the breaker opened must not close it, nor free the probe's place.
Permit = NewType("Permit", int)


class CircuitBreaker:
    """`failures` in a row open it; after `open_seconds` one probe at a time; `successes` close it."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        failures: int = 5,
        open_seconds: float = 30.0,
        successes: int = 2,
        changed: Callable[[int], None] | None = None,
    ) -> None:
        self._clock = clock
        self._failures_to_open = failures
        self._open_seconds = open_seconds
        self._successes_to_close = successes
        self._changed = changed
        self._era = 0
        self._failures = 0
        self._successes = 0
        self._opened_at = 0.0
        self._probing = False
        self.state = CLOSED

    def wait(self) -> float:
        """Seconds until a call may pass; 0 when one may now (also 0 while a probe is out)."""
        if self.state != OPEN:
            return 0.0
        return max(0.0, self._opened_at + self._open_seconds - self._clock())

    def admit(self) -> Permit | None:
        """A permit for one call, or None when the provider must be left alone.

        Every permit must come back through `success`, `failure` or `release`.
        """
        if self.state == CLOSED:
            return Permit(self._era)
        if self.state == OPEN:
            if self.wait() > 0:
                return None
            self._become(HALF_OPEN)
        if self._probing:
            return None
        self._probing = True
        return Permit(self._era)

    def success(self, permit: Permit) -> None:
        if permit != self._era:
            return
        if self.state == CLOSED:
            self._failures = 0
            return
        self._probing = False
        self._successes += 1
        if self._successes >= self._successes_to_close:
            self._become(CLOSED)

    def failure(self, permit: Permit) -> None:
        if permit != self._era:
            return
        if self.state == HALF_OPEN:
            self._become(OPEN)
            return
        self._failures += 1
        if self._failures >= self._failures_to_open:
            self._become(OPEN)

    def release(self, permit: Permit) -> None:
        """The call ended without telling anything about the provider (cancelled, a client's mistake)."""
        if permit == self._era:
            self._probing = False

    def _become(self, state: int) -> None:
        self.state = state
        self._era += 1
        self._failures = 0
        self._successes = 0
        self._probing = False
        if state == OPEN:
            self._opened_at = self._clock()
        if self._changed is not None:
            self._changed(state)
