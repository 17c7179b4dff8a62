from __future__ import annotations

from dashboards.queries import error_ratio, quantile, share


def test_a_share_is_zero_and_not_nothing_while_no_part_has_happened() -> None:
    assert share("a", "b") == "(a or b * 0) / b"


def test_a_quantile_keeps_le_and_the_asked_labels() -> None:
    assert quantile(0.95, "x_seconds", "colour") == (
        "histogram_quantile(0.95, sum by (le, colour) "
        '(rate(superagent_x_seconds_bucket{environment="$environment",colour=~"$colour"}'
        "[$__rate_interval])))"
    )


def test_the_error_ratio_counts_only_server_errors_as_failed() -> None:
    assert error_ratio("colour").count('status=~"5.."') == 1
