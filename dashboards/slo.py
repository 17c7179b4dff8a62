"""The promises: how much of each error budget is left, and how fast it goes. From the alerts' own table."""

from __future__ import annotations

from alerts.burn_rate import OBJECTIVES, PAGE, TICKET, Objective
from dashboards.frame import Board, Row
from dashboards.panels import AMBER, RED, Query, lines, number
from dashboards.queries import tool


def slo() -> Board:
    """One row an objective."""
    return Board(
        "superagent-slo",
        "SuperAgent / SLO",
        "Error budgets over 30 days and the burn rates that alerts read.",
        tuple(_objective(objective) for objective in OBJECTIVES),
        since="now-24h",
    )


def _objective(objective: Objective) -> Row:
    def burn(window: str) -> str:
        return f"max({tool(f'{objective.record}:ratio_rate{window}')}) / {objective.budget}"

    name = objective.name
    windows = [burn.long for burn in (*PAGE, *TICKET)]
    return Row(
        f"{name}: {float(objective.target):.1%} of requests are not {objective.meaning}",
        (
            number(
                f"{name}: good requests (3 d)",
                [Query(f"1 - max({tool(f'{objective.record}:ratio_rate3d')})")],
                f"Share of requests over three days that were not {objective.meaning}.",
                unit="percentunit",
                steps=[(float("-inf"), RED), (float(objective.target), "green")],
            ),
            number(
                f"{name}: budget spent at this pace",
                [Query(burn("3d"))],
                "Share of the 30-day budget that 30 days like the last three would spend.",
                unit="percentunit",
                steps=[(1, AMBER), (3, RED)],
                runbook=f"SuperAgent{name}BudgetBurnSlow",
            ),
            lines(
                f"{name}: burn rate",
                [Query(burn(window), window) for window in windows],
                "1 spends the budget in exactly 30 days; 6 and 14.4 page.",
                steps=[(1, AMBER), (6, RED)],
                runbook=f"SuperAgent{name}BudgetBurnFast",
            ),
        ),
    )
