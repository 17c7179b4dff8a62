"""The newest word of the data plane, and how long it counts."""

from __future__ import annotations

import pytest

from infra.local.aws.health import NO_REPORT, REGISTERING, REPORT_LIFETIME, HealthBoard


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_report_counts_until_it_is_old() -> None:
    clock = Clock()
    board = HealthBoard(clock)
    board.report({"arn": {"t": {"state": "healthy"}}})
    clock.now += REPORT_LIFETIME
    assert board.seen("arn", "t") == ("healthy", None, None)
    clock.now += 0.1
    assert board.seen("arn", "t") == NO_REPORT


def test_what_was_never_seen_is_registering() -> None:
    assert HealthBoard().seen("arn", "t") == REGISTERING


@pytest.mark.parametrize("state", ["draining", "unused"])
def test_a_report_about_an_earlier_life_says_nothing(state: str) -> None:
    board = HealthBoard()
    board.report({"arn": {"t": {"state": state}}})
    assert board.seen("arn", "t") == REGISTERING


def test_a_report_with_one_wrong_target_changes_nothing() -> None:
    board = HealthBoard()
    board.report({"arn": {"t": {"state": "healthy"}}})
    with pytest.raises(ValueError, match=r"arn\.u\.state is 'fine'"):
        board.report({"arn": {"t": {"state": "unhealthy"}, "u": {"state": "fine"}}})
    assert board.seen("arn", "t") == ("healthy", None, None)
