"""What counts as better, worse and nothing; and what stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.advise.effect import Piece, Verdict, judge, stays
from infra.advise.settings import PACES

PACE = PACES["local"]


def side(*p95s: float, requests: float = 100, errors: float = 0) -> list[Piece]:
    return [Piece(float(at), requests, errors, p95) for at, p95 in enumerate(p95s)]


BEFORE = side(0.4, 0.41, 0.42, 0.43)


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        (side(0.2, 0.21, 0.22, 0.23), "better"),
        (side(0.8, 0.81, 0.82, 0.83), "worse"),
        (side(0.4, 0.41, 0.42, 0.43), "same"),
        (side(0.39, 0.395, 0.398, 0.399), "same"),  # surely lower, but by so little that nobody notices
        (side(0.2, 0.9, 0.21, 0.8), "same"),
        (side(0.2, 0.21, 0.22, 0.23, errors=20), "worse"),  # fast because it fails
        (side(0.2, 0.21), "unknown"),
        (side(0.2, 0.21, 0.22, 0.23, requests=2), "unknown"),
        ([], "unknown"),
    ],
)
def test_verdicts(after: list[Piece], verdict: Verdict) -> None:
    assert judge(BEFORE, after, PACE).verdict == verdict


def test_pieces_without_requests_do_not_count() -> None:
    quiet = [Piece(9.0, 0, 0, None)]
    assert judge([*BEFORE, *quiet], side(0.2, 0.21, 0.22, 0.23), PACE).verdict == "better"
    assert judge(BEFORE, [*side(0.2, 0.21), *quiet, *quiet], PACE).verdict == "unknown"


def test_errors_that_were_there_before_are_not_the_changes_fault() -> None:
    before = side(0.4, 0.41, 0.42, 0.43, errors=20)
    assert judge(before, side(0.2, 0.21, 0.22, 0.23, errors=20), PACE).verdict == "better"


@pytest.mark.parametrize("verdict", ["better", "same", "worse", "unknown"])
def test_what_costs_money_must_help_and_what_nobody_sees_is_taken_back(verdict: Verdict) -> None:
    effect = replace(judge(BEFORE, BEFORE, PACE), verdict=verdict)
    assert stays(effect, "faster") == (verdict == "better")
    for free in ("free", "cheaper"):
        assert stays(effect, free) == (verdict in ("better", "same"))  # type: ignore[arg-type]


times = st.lists(st.floats(0.001, 100, allow_nan=False), min_size=3, max_size=8)


@given(times, times)
def test_nothing_is_better_and_worse_and_the_mirror_says_the_opposite(a: list[float], b: list[float]) -> None:
    there, back = judge(side(*a), side(*b), PACE), judge(side(*b), side(*a), PACE)
    opposite = {"better": "worse", "worse": "better", "same": "same", "unknown": "unknown"}
    if "same" not in (there.verdict, back.verdict):  # the margin is a part of what was before
        assert back.verdict == opposite[there.verdict]
    if there.verdict == "better":
        assert there.p_better <= PACE.certainty
        assert there.after is not None and there.before is not None and there.after < there.before
