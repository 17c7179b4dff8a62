"""What makes a new colour fail, pass, or stay undecided."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from infra.release.analysis import compare
from infra.release.sample import Sample
from infra.release.settings import Limits
from infra.release.verdict import Verdict

LIMITS = Limits()


def latencies(seconds: float, n: float) -> dict[float, float]:
    """All answers between half of `seconds` and `seconds`."""
    return {seconds / 2: 0.0, seconds: n, 300.0: n, math.inf: n}


def good(n: float = 200) -> Sample:
    return Sample(
        requests=n,
        errors=0,
        duration=latencies(0.2, n),
        ttft=latencies(0.1, n),
        provider_calls=n,
        cost_usd=n * 0.001,
        cpu_seconds=n * 0.002,
        cpu_per_instance=0.2,
    )


def verdict(new: Sample | None, old: Sample | None = None) -> Verdict:
    return compare(old or good(), new, LIMITS, 10).verdict


def test_a_colour_as_good_as_the_old_one_passes() -> None:
    assert verdict(good()) is Verdict.PASS


@pytest.mark.parametrize(
    ("worse", "name"),
    [
        ({"errors": 10.0}, "errors"),
        ({"duration": latencies(1.0, 200)}, "p95"),
        ({"ttft": latencies(0.5, 200)}, "time to first token p95"),
        ({"broken_streams": 20.0}, "broken streams"),
        ({"cost_usd": 1.0}, "cost per call"),
        ({"cpu_per_instance": 0.99, "cpu_seconds": 200 * 0.01}, "cpu"),
    ],
)
def test_each_measure_alone_fails_a_worse_colour_and_is_named(worse: dict[str, float], name: str) -> None:
    judgement = compare(good(), replace(good(), **worse), LIMITS, 10)  # type: ignore[arg-type]
    assert judgement.verdict is Verdict.FAIL
    assert next(check.name for check in judgement.checks if check.verdict is Verdict.FAIL) == name


def test_no_metrics_are_never_a_pass() -> None:
    assert verdict(None) is Verdict.NO_DATA
    assert verdict(Sample()) is Verdict.NO_DATA


def test_too_few_requests_leave_it_open() -> None:
    assert verdict(good(5)) is Verdict.NO_DATA


def test_an_old_colour_without_traffic_is_no_excuse_and_no_trap() -> None:
    assert compare(None, good(), LIMITS, 10).verdict is Verdict.PASS
    assert compare(Sample(), replace(good(), errors=20.0), LIMITS, 10).verdict is Verdict.FAIL


def test_one_error_among_few_requests_is_not_proof() -> None:
    assert verdict(replace(good(20), errors=1.0)) is Verdict.PASS


def test_a_handful_of_requests_that_all_fail_is_proof() -> None:
    assert verdict(replace(good(3), errors=3.0)) is Verdict.FAIL


def test_an_outage_that_hits_both_colours_alike_is_not_the_new_ones_fault() -> None:
    both = replace(good(), errors=60.0, broken_streams=60.0)
    assert verdict(both, both) is Verdict.PASS


def test_a_large_colour_with_a_tiny_share_of_errors_passes() -> None:
    assert verdict(replace(good(100_000), errors=50.0), good(100_000)) is Verdict.PASS


def test_slightly_slower_for_certain_is_still_allowed() -> None:
    assert verdict(replace(good(10_000), duration=latencies(0.22, 10_000)), good(10_000)) is Verdict.PASS


def test_a_busy_new_colour_is_not_saturated_when_requests_cost_the_same() -> None:
    assert verdict(replace(good(2_000), cpu_per_instance=0.99, cpu_seconds=4.0)) is Verdict.PASS


def test_failures_win_over_missing_data() -> None:
    assert compare(good(), replace(good(5), errors=5.0), LIMITS, 10).verdict is Verdict.FAIL
