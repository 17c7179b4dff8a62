"""Error-budget burn: every objective times every window, from two small tables.

Method: multi-window, multi-burn-rate (Google SRE Workbook, "Alerting on SLOs", table 5-8). The long window
says that budget is really being spent, the short one that it is still being spent now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from alerts.model import USERS, Alert, Recording


@dataclass(frozen=True, slots=True)
class Objective:
    """One promise: a share of requests that must be good over 30 days."""

    name: str
    """As in alert names: `Availability`."""
    record: str
    """Stem of the recording rules: `environment:superagent_http_errors`."""
    target: str
    """Share of good requests as a decimal, `0.999`; text, because the rule file shows it."""
    bad_ratio: str
    """Share of bad requests per environment over `{window}`, of what `{users}` matches."""
    meaning: str
    """What a bad request is, as a phrase for the description."""

    @property
    def budget(self) -> str:
        return f"(1 - {self.target})"


@dataclass(frozen=True, slots=True)
class Burn:
    """Budget spent `factor` times as fast as the 30 days allow, over `long` and still over `short`."""

    factor: str
    long: str
    short: str


OBJECTIVES: Final = (
    Objective(
        "Availability",
        "environment:superagent_http_errors",
        "0.999",
        # Before the first error there is no series of errors, and the promise is kept all the same.
        """
        (
        sum by (environment) (rate(superagent_http_requests_total{{{users},status=~"5.."}}[{window}]))
        or sum by (environment) (rate(superagent_http_requests_total{{{users}}}[{window}])) * 0
        )
        / sum by (environment) (rate(superagent_http_requests_total{{{users}}}[{window}]))
        """,
        "answered with a 5xx status",
    ),
    Objective(
        "Latency",
        "environment:superagent_http_slow",
        "0.95",
        """
        1 - (
        sum by (environment)
        (rate(superagent_http_request_duration_seconds_bucket{{{users},le="10.0"}}[{window}]))
        / sum by (environment) (rate(superagent_http_request_duration_seconds_count{{{users}}}[{window}]))
        )
        """,
        "slower than 10 s",
    ),
)

PAGE: Final = (Burn("14.4", "1h", "5m"), Burn("6", "6h", "30m"))
TICKET: Final = (Burn("3", "1d", "2h"), Burn("1", "3d", "6h"))

Speed = Literal["Fast", "Slow"]
SPEEDS: Final[dict[Speed, tuple[Burn, ...]]] = {"Fast": PAGE, "Slow": TICKET}
LASTS: Final[dict[Speed, str]] = {"Fast": "2m", "Slow": "15m"}


def windows() -> list[str]:
    """Every window that some burn alert reads, each once, in the order of the table."""
    return list(dict.fromkeys(w for burn in (*PAGE, *TICKET) for w in (burn.short, burn.long)))


def recordings() -> list[Recording]:
    """The bad ratio of every objective over every window."""
    return [
        Recording(
            f"{objective.record}:ratio_rate{window}", objective.bad_ratio.format(window=window, users=USERS)
        )
        for objective in OBJECTIVES
        for window in windows()
    ]


def alerts(speed: Speed) -> list[Alert]:
    """The burn alerts of one speed, one for each objective."""
    return [_alert(objective, speed) for objective in OBJECTIVES]


def _alert(objective: Objective, speed: Speed) -> Alert:
    def exceeded(burn: Burn) -> str:
        limit = f"{burn.factor} * {objective.budget}"
        stem = f"{objective.record}:ratio_rate"
        return f"({stem}{burn.long} > {limit} and on (environment) {stem}{burn.short} > {limit})"

    burns = SPEEDS[speed]
    slowest = burns[-1]
    return Alert(
        name=f"SuperAgent{objective.name}BudgetBurn{speed}",
        expr="\nor on (environment)\n".join(exceeded(burn) for burn in burns),
        lasts=LASTS[speed],
        summary=f"{{{{ $labels.environment }}}}: the {objective.name.lower()} budget burns {_pace(speed)}",
        description=(
            f"{{{{ $value | humanizePercentage }}}} of requests are {objective.meaning}; "
            f"at {slowest.factor} times the sustainable pace or more, "
            f"the 30-day budget of objective {objective.target} does not last."
        ),
        dashboard="superagent-slo",
    )


def _pace(speed: Speed) -> str:
    return "fast" if speed == "Fast" else "slowly but steadily"
