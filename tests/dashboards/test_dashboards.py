from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from alerts.files import ROOT as ALERTS
from dashboards.files import FOLDER, generated
from service.telemetry.metrics import DEFINITIONS
from tests.promql import known_metrics, metrics_in, problems

BOARDS: dict[str, dict[str, Any]] = {path.stem: json.loads(text) for path, text in generated().items()}
PANELS = [
    (uid, panel) for uid, board in BOARDS.items() for panel in board["panels"] if panel["type"] != "row"
]
IDS = [f"{uid}/{panel['title']}" for uid, panel in PANELS]
ROWS = ["Overview", "Performance", "Providers", "Debates", "Infrastructure"]

# Alerts and bookmarks point at these addresses: a line may be added, never changed.
STABLE_UIDS = {
    "superagent-production",
    "superagent-llm",
    "superagent-release",
    "superagent-recovery",
    "superagent-slo",
}


def filled(expr: str) -> str:
    """An expression as Grafana sends it, its variables put in."""
    return (
        expr.replace("$__rate_interval", "1m")
        .replace("$environment", "local")
        .replace("$colour", "blue|green")
    )


def expressions() -> list[tuple[str, str]]:
    found = [(f"{u}/{p['title']}", filled(t["expr"])) for u, p in PANELS for t in p["targets"]]
    notes = [
        (f"{uid}/{note['name']}", filled(note["expr"]))
        for uid, board in BOARDS.items()
        for note in board["annotations"]["list"]
    ]
    return found + notes


def test_committed_json_is_what_the_code_says() -> None:
    stale = [path.name for path, text in generated().items() if path.read_text() != text]
    assert stale == [], "run `python -m dashboards render`"
    assert set(FOLDER.iterdir()) == set(generated())


def test_addresses_stay() -> None:
    assert set(BOARDS) == STABLE_UIDS
    assert {board["uid"] for board in BOARDS.values()} == STABLE_UIDS


def test_a_panels_id_stays_when_panels_are_added_before_it() -> None:
    latency = next(panel for _, panel in PANELS if panel["title"] == "Latency")
    assert latency["id"] == 684901


@pytest.mark.parametrize("uid", sorted(STABLE_UIDS))
def test_panel_ids_are_unique_within_a_dashboard(uid: str) -> None:
    ids = Counter(panel["id"] for panel in BOARDS[uid]["panels"] if panel["type"] != "row")
    assert [one for one, count in ids.items() if count > 1] == []


def test_the_production_dashboard_has_the_five_rows() -> None:
    rows = [p["title"] for p in BOARDS["superagent-production"]["panels"] if p["type"] == "row"]
    assert rows == ROWS


@pytest.mark.parametrize("uid", sorted(STABLE_UIDS))
def test_every_dashboard_can_be_pointed_at_source_environment_and_colour(uid: str) -> None:
    names = [variable["name"] for variable in BOARDS[uid]["templating"]["list"]]
    assert names == ["datasource", "environment", "colour"]


@pytest.mark.parametrize(("uid", "panel"), PANELS, ids=IDS)
def test_a_panel_says_what_it_shows_in_which_unit(uid: str, panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 10
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for link in panel.get("links", []):
        assert (ALERTS / "runbooks" / link["url"].rsplit("/", 1)[1]).exists()


@pytest.mark.parametrize(("where", "expr"), expressions(), ids=[where for where, _ in expressions()])
def test_an_expression_reads_only_metrics_and_labels_that_exist(where: str, expr: str) -> None:
    assert "$" not in expr
    assert problems(expr, known_metrics()) == []


@pytest.mark.parametrize(("uid", "panel"), PANELS, ids=IDS)
def test_every_expression_stays_in_the_chosen_environment(uid: str, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        assert target["expr"].count("{") == target["expr"].count('environment="$environment"')


def test_every_metric_of_the_service_is_on_some_dashboard() -> None:
    """What nobody can see may as well not be measured; these are read by alerts only."""
    shown = {name for _, expr in expressions() for name in metrics_in(expr)}
    hidden = {
        metric.name
        for metric in DEFINITIONS
        if not {metric.name, f"{metric.name}_bucket", f"{metric.name}_sum"} & shown
    }
    assert hidden <= {"superagent_security_events_total", "superagent_usage_journal_pending"}


def test_a_renamed_service_metric_is_noticed() -> None:
    everything = expressions()
    for metric in DEFINITIONS:
        names = {metric.name, *(f"{metric.name}_{part}" for part in ("bucket", "sum", "count"))}
        readers = [expr for _, expr in everything if metrics_in(expr) & names]
        without = {name: labels for name, labels in known_metrics().items() if name not in names}
        assert all(problems(expr, without) for expr in readers)
