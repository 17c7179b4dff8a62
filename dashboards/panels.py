"""Small helpers over grafana-foundation-sdk: one function a kind of panel, the house style inside."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from grafana_foundation_sdk.builders import bargauge, heatmap, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import common as style
from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.builders import prometheus as prom
from grafana_foundation_sdk.builders.heatmap import HeatmapColorOptions
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DashboardSpecialValueMapOptions,
    DynamicConfigValue,
    SpecialValueMap,
    SpecialValueMatch,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from alerts import links

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")

GREEN, AMBER, RED, BLUE, GREY = "green", "orange", "red", "blue", "#8e8e8e"
COLOURS: Final = {"blue": "#5794f2", "green": "#56a64b"}
"""The two colours of a release are drawn as what they are called, on every panel."""

Steps = Sequence[tuple[float, str]]
"""Thresholds: from this value on, this colour."""

Unit = Literal[
    "short", "reqps", "percentunit", "s", "bytes", "currencyUSD", "none", "ops", "dtdurations"
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and the name of its lines (`{{label}}` is expanded)."""

    expr: str
    legend: str = ""


def panel_id(title: str) -> int:
    """An id that stays when panels are added or moved: alert links and bookmarks point at it."""
    return zlib.crc32(title.encode()) % 900_000 + 1


def _targets(panel: Any, queries: Sequence[Query], *, instant: bool = False, heatmap: bool = False) -> None:
    for index, query in enumerate(queries):
        target = prom.Dataquery().expr(query.expr).ref_id(chr(ord("A") + index)).datasource(SOURCE)
        target = target.legend_format(query.legend) if query.legend else target
        target = target.instant() if instant else target.range()
        if heatmap:
            target = target.format(PromQueryFormat.HEATMAP)
        panel.with_target(target)


def _common(
    panel: Any, title: str, description: str, unit: Unit, span: int, height: int, runbook: str
) -> None:
    panel.id(panel_id(title)).title(title).description(description).datasource(SOURCE)
    panel.unit(unit).span(span).height(height)
    if runbook:
        link = board.DashboardLink(f"Runbook: {runbook}").type(DashboardLinkType.LINK)
        panel.links([link.url(links.runbook(runbook)).target_blank(True)])


def _steps(steps: Steps) -> board.ThresholdsConfig:
    found = [Threshold(value=None, color=GREEN)]
    if steps and steps[0][0] == float("-inf"):
        found = []
    found += [Threshold(value=None if at == float("-inf") else at, color=colour) for at, colour in steps]
    return board.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(found)


def mapped(names: dict[str, tuple[str, str]]) -> list[Any]:
    """Value → (text, colour), for states that are numbers; nothing known is `no data`."""
    options = {
        value: ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(names.items())
    }
    nothing = DashboardSpecialValueMapOptions(
        match=SpecialValueMatch.NULL_AND_NAN, result=ValueMappingResult(text="no data", color=GREY)
    )
    return [
        ValueMap(options=options),
        SpecialValueMap(options=nothing),
    ]


UP_DOWN: Final = {"1": ("up", GREEN), "0": ("down", RED)}
BREAKER: Final = {"0": ("closed", GREEN), "1": ("open", RED), "2": ("half-open", AMBER)}
PASSED: Final = {"1": ("passed", GREEN), "0": ("failed", RED)}


def number(
    title: str,
    queries: Sequence[Query],
    description: str,
    *,
    unit: Unit = "short",
    steps: Steps = (),
    names: dict[str, tuple[str, str]] | None = None,
    span: int = 6,
    height: int = 4,
    runbook: str = "",
    graph: bool = True,
) -> stat.Panel:
    """One or a few big numbers, coloured by thresholds or by their meaning."""
    panel = stat.Panel()
    _common(panel, title, description, unit, span, height, runbook)
    panel.reduce_options(style.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.thresholds(_steps(steps)).no_value("no data")
    plain = graph and names is None
    panel.graph_mode(kinds.BigValueGraphMode.AREA if plain else kinds.BigValueGraphMode.NONE)
    if any(query.legend for query in queries):
        panel.text_mode(kinds.BigValueTextMode.VALUE_AND_NAME)
    if names is not None:
        panel.mappings(mapped(names)).color_mode(kinds.BigValueColorMode.BACKGROUND)
    _targets(panel, queries)
    return panel


def lines(
    title: str,
    queries: Sequence[Query],
    description: str,
    *,
    unit: Unit = "short",
    steps: Steps = (),
    span: int = 12,
    height: int = 8,
    runbook: str = "",
    stacked: bool = False,
    top: float | None = None,
) -> timeseries.Panel:
    """Lines over time; thresholds are drawn as lines, colours of a release as themselves."""
    panel = timeseries.Panel()
    _common(panel, title, description, unit, span, height, runbook)
    panel.line_width(2).fill_opacity(40 if stacked else 8).show_points(kinds.VisibilityMode.NEVER).min(0)
    panel.legend(
        style.VizLegendOptions()
        .display_mode(kinds.LegendDisplayMode.TABLE)
        .placement(kinds.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
    )
    panel.tooltip(style.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI))
    if top is not None:
        panel.max(top)
    if stacked:
        panel.stacking(style.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A"))
    if steps:
        panel.thresholds(_steps(steps))
        panel.thresholds_style(style.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED))
    for name, colour in COLOURS.items():
        fixed = {"mode": "fixed", "fixedColor": colour}
        panel.override_by_regexp(f"^{name}( .*)?$", [DynamicConfigValue("color", fixed)])
    _targets(panel, queries)
    return panel


def density(title: str, expr: str, description: str, *, unit: Unit = "s", span: int = 12) -> heatmap.Panel:
    """A histogram over time, from its buckets."""
    panel = heatmap.Panel()
    _common(panel, title, description, unit, span, 8, "")
    panel.calculate(False).show_legend()
    panel.color(HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
    _targets(panel, [Query(expr, "{{le}}")], heatmap=True)
    return panel


def states(
    title: str,
    queries: Sequence[Query],
    description: str,
    names: dict[str, tuple[str, str]],
    *,
    span: int = 12,
    height: int = 8,
    runbook: str = "",
) -> statetimeline.Panel:
    """States over time, one band a series."""
    panel = statetimeline.Panel()
    _common(panel, title, description, "none", span, height, runbook)
    panel.mappings(mapped(names)).merge_values(True).fill_opacity(80).line_width(0)
    panel.show_value(kinds.VisibilityMode.AUTO).row_height(0.8)
    _targets(panel, queries)
    return panel


def bars(
    title: str,
    queries: Sequence[Query],
    description: str,
    *,
    unit: Unit = "short",
    steps: Steps = (),
    top: float | None = None,
    span: int = 12,
    height: int = 8,
    runbook: str = "",
) -> bargauge.Panel:
    """The latest value of each series as a horizontal bar."""
    panel = bargauge.Panel()
    _common(panel, title, description, unit, span, height, runbook)
    panel.orientation(kinds.VizOrientation.HORIZONTAL).display_mode(kinds.BarGaugeDisplayMode.BASIC)
    panel.reduce_options(style.ReduceDataOptions().calcs(["lastNotNull"])).thresholds(_steps(steps)).min(0)
    if top is not None:
        panel.max(top)
    _targets(panel, queries, instant=True)
    return panel
