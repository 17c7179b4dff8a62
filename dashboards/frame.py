"""What every dashboard has around its panels: uid, variables, links to the others, annotations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from dashboards.panels import SOURCE
from dashboards.queries import tool

TAG: Final = "superagent"


@dataclass(frozen=True, slots=True)
class Row:
    """A titled row and what stands in it."""

    title: str
    panels: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard: `uid` is its address for ever, alerts point at it."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row] = field(default_factory=tuple)
    since: str = "now-1h"

    def json(self) -> str:
        """The committed text."""
        return JSONEncoder(sort_keys=True, indent=2).encode(self._build()) + "\n"

    def _build(self) -> Any:
        built = board.Dashboard(self.title).uid(self.uid).description(self.description).tags([TAG])
        built.time(self.since, "now").refresh("10s").timezone("browser").editable()
        built.tooltip(DashboardCursorSync.CROSSHAIR)
        others = board.DashboardLink("SuperAgent").type(DashboardLinkType.DASHBOARDS).tags([TAG])
        built.link(others.as_dropdown(True).include_vars(True).keep_time(True))
        for variable in _variables():
            built.with_variable(variable)
        for annotation in _annotations():
            built.annotation(annotation)
        for row in self.rows:
            built.with_row(board.Row(row.title))
            for panel in row.panels:
                built.with_panel(panel)
        return built.build()


def _variables() -> list[Any]:
    environment = (
        board.QueryVariable("environment")
        .label("Environment")
        .datasource(SOURCE)
        .query("label_values(up, environment)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )
    colour = (
        board.QueryVariable("colour")
        .label("Colour")
        .datasource(SOURCE)
        .query('label_values(up{job="superagent",environment="$environment"}, colour)')
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text="All", value="$__all"))
    )
    return [
        board.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        environment,
        colour,
    ]


def _annotations() -> list[Any]:
    # The first time a step is taken makes a new series, which increase() does not see. Each instance
    # of a fleet tells the same counters (infra/exporter), and a new one takes no step: hence the maximum.
    moved = tool("superagent_release_transitions_total")
    steps = "max by (step, outcome)"
    firing = tool("ALERTS", 'alertstate="firing"', 'severity=~"critical|high"')
    return [
        board.AnnotationQuery()
        .name("Release steps")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("blue")
        .expr(
            f"{steps} ({moved}) unless {steps} ({moved} offset 30s) or {steps} (increase({moved}[30s])) > 0"
        )
        .step("30s")
        .title_format("{{step}}")
        .text_format("{{outcome}}"),
        board.AnnotationQuery()
        .name("Alerts")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("red")
        .expr(firing)
        .step("30s")
        .title_format("{{alertname}}")
        .text_format("{{severity}}"),
    ]
