"""Blue against green while a release runs, and which one traffic goes to."""

from __future__ import annotations

from alerts.model import USERS
from dashboards.frame import Board, Row
from dashboards.panels import AMBER, BLUE, RED, Query, lines, number
from dashboards.queries import REQUESTS, error_ratio, rate, service, share, tool, total
from dashboards.shapes import age, speed


def release() -> Board:
    """State and weights, the comparison that analysis makes, steps taken."""
    return Board(
        "superagent-release",
        "SuperAgent / Release",
        "Which version runs where, how traffic moves, and whether the new colour is as good as the old one.",
        (_state(), _comparison(), _history()),
        since="now-30m",
    )


def _state() -> Row:
    running = {"1": ("running", BLUE), "0": ("none", "#8e8e8e")}
    return Row(
        "State",
        (
            number(
                "Release",
                [Query(f"max({tool('superagent_release_in_progress')})")],
                "Whether one is in progress.",
                unit="none",
                names=running,
                runbook="SuperAgentReleaseStuck",
            ),
            age(
                "Since last success",
                "superagent_release_last_success_timestamp_seconds",
                "Time since a release was promoted.",
            ),
            number(
                "Versions",
                [Query(f"count by (colour, version) ({service('build_info')})", "{{colour}} {{version}}")],
                "Processes by colour and version.",
                unit="none",
                span=12,
                graph=False,
            ),
            lines(
                "Weights",
                [Query(f"max by (colour) ({tool('superagent_release_weight')})", "{{colour}}")],
                "Share of new sessions that each colour gets.",
                stacked=True,
                span=24,
            ),
        ),
    )


def _comparison() -> Row:
    tokens = rate(service("provider_cost_usd_total"))
    calls = total(rate(REQUESTS), "colour")
    failed = service("provider_requests_total", 'status!="ok"')
    return Row(
        "Blue against green",
        (
            lines(
                "Requests by colour",
                [Query(calls, "{{colour}}")],
                "What each colour really answers, whatever the weights say.",
                unit="reqps",
                span=8,
            ),
            lines(
                "Error ratio by colour",
                [Query(error_ratio("colour"), "{{colour}}")],
                "Share answered with a 5xx status.",
                unit="percentunit",
                steps=[(0.05, AMBER), (0.1, RED)],
                span=8,
                runbook="SuperAgentErrorRatioHigh",
            ),
            speed(
                "Latency by colour (p95)",
                "http_request_duration_seconds",
                "colour",
                "Request received to last byte sent.",
                only=(USERS,),
                span=8,
                runbook="SuperAgentLatencyHigh",
            ),
            speed(
                "Time to first token by colour (p95)",
                "provider_ttft_seconds",
                "colour",
                "Call sent to first token.",
                span=8,
            ),
            lines(
                "Failed provider calls by colour",
                [
                    Query(
                        share(
                            total(rate(failed), "colour"),
                            total(rate(service("provider_requests_total")), "colour"),
                        ),
                        "{{colour}}",
                    )
                ],
                "Share of calls that did not end well; aborted streams are among them.",
                unit="percentunit",
                span=8,
            ),
            lines(
                "Cost per request by colour",
                [Query(f"{total(tokens, 'colour')} / {calls}", "{{colour}}")],
                "USD for one request.",
                unit="currencyUSD",
                span=8,
            ),
        ),
    )


def _history() -> Row:
    moved = tool("superagent_release_transitions_total")
    return Row(
        "Steps",
        (
            lines(
                "Transitions",
                [Query(f"max by (step, outcome) ({moved})", "{{step}} {{outcome}}")],
                "Steps taken, by outcome; each is a note on the other panels.",
                span=24,
            ),
        ),
    )
