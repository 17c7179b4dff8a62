from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.routing.breaker import CLOSED, HALF_OPEN, OPEN, CircuitBreaker, Permit


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        permit = breaker.admit()
        assert permit is not None
        breaker.failure(permit)


def test_five_failures_in_a_row_open_it_and_a_success_between_starts_the_count_again() -> None:
    breaker = CircuitBreaker(Clock())
    fail(breaker, 4)
    permit = breaker.admit()
    assert permit is not None
    breaker.success(permit)
    fail(breaker, 4)
    assert breaker.state == CLOSED
    fail(breaker, 1)
    assert breaker.state == OPEN and breaker.admit() is None


def test_after_thirty_seconds_one_probe_at_a_time_and_two_successes_close_it() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    fail(breaker, 5)
    clock.now += 29.9
    assert breaker.admit() is None and 0 < breaker.wait() < 0.2
    clock.now += 0.1
    probe = breaker.admit()
    assert probe is not None and breaker.state == HALF_OPEN
    assert breaker.admit() is None
    breaker.success(probe)
    second = breaker.admit()
    assert second is not None and breaker.state == HALF_OPEN
    breaker.success(second)
    assert breaker.state == CLOSED


def test_a_failed_probe_opens_it_for_another_thirty_seconds() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    fail(breaker, 5)
    clock.now += 30
    fail(breaker, 1)
    assert breaker.state == OPEN and breaker.wait() == 30


def test_a_cancelled_probe_gives_its_place_back() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    fail(breaker, 5)
    clock.now += 30
    probe = breaker.admit()
    assert probe is not None
    breaker.release(probe)
    assert breaker.state == HALF_OPEN and breaker.admit() is not None


def test_results_of_calls_from_before_it_opened_count_for_nothing() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    old = breaker.admit()
    assert old is not None
    fail(breaker, 5)
    clock.now += 30
    probe = breaker.admit()
    breaker.success(old)
    breaker.release(old)
    breaker.failure(old)
    assert breaker.state == HALF_OPEN and breaker.admit() is None and probe is not None


def test_every_change_is_told_once() -> None:
    clock = Clock()
    told: list[int] = []
    breaker = CircuitBreaker(clock, changed=told.append)
    fail(breaker, 5)
    clock.now += 30
    for _ in range(2):
        permit = breaker.admit()
        assert permit is not None
        breaker.success(permit)
    assert told == [OPEN, HALF_OPEN, CLOSED]


STEP = st.sampled_from(["admit", "success", "failure", "release", "wait"])


@given(st.lists(st.tuples(STEP, st.integers(0, 9)), max_size=200))
def test_whatever_happens_it_admits_one_probe_at_most_and_never_locks_for_ever(
    steps: list[tuple[str, int]],
) -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock, failures=2)
    out: list[Permit] = []
    probes: set[int] = set()
    for step, pick in steps:
        if step == "wait":
            clock.now += pick * 5
        elif step == "admit":
            permit = breaker.admit()
            if permit is not None:
                if breaker.state == HALF_OPEN:
                    assert not probes
                    probes.add(len(out))
                out.append(permit)
        elif out:
            index = pick % len(out)
            getattr(breaker, step)(out[index])
            probes.discard(index)
            if breaker.state != HALF_OPEN:
                probes.clear()
    for permit in out:
        breaker.release(permit)
    clock.now += 60
    assert breaker.admit() is not None
