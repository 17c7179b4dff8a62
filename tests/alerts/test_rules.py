from __future__ import annotations

import re
import subprocess
from collections import Counter
from typing import Any

import click
import pytest
import yaml

from alerts import links
from alerts.burn_rate import OBJECTIVES, SPEEDS, windows
from alerts.files import ROOT, generated
from alerts.groups import GROUPS, alert_rules
from alerts.promtool import run_tests
from infra.cli import main
from tests.docs.test_pages import understood
from tests.monitoring import tool
from tests.promql import known_metrics

NAMES = [rule["alert"] for rule in alert_rules()]
COMMAND = r"`((?:superagent|make|python -m) [^`]+)`"


def test_committed_files_are_what_the_definitions_say() -> None:
    stale = [str(path) for path, text in generated().items() if path.read_text() != text]
    assert stale == [], "run `python -m alerts render`"


def test_no_rule_file_lies_about_that_nothing_generates() -> None:
    assert set((ROOT / "rules").glob("*")) == {path for path in generated() if path.parent.name == "rules"}


def test_names_are_unique_and_speak_one_language() -> None:
    assert [name for name, count in Counter(NAMES).items() if count > 1] == []
    assert [name for name in NAMES if not name.startswith("SuperAgent")] == ["Watchdog"]


@pytest.mark.parametrize("rule", alert_rules(), ids=NAMES)
def test_every_alert_carries_labels_and_links(rule: dict[str, Any]) -> None:
    assert set(rule["labels"]) == {"severity", "team"}  # environment comes with the series
    assert "environment" in rule["expr"] or "by (" not in rule["expr"]
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert notes["summary"].startswith("{{ $labels.environment }}: ")
    assert notes["runbook_url"] == links.runbook(rule["alert"])


def test_promtool_accepts_every_rule_file() -> None:
    files = sorted(map(str, (ROOT / "rules").glob("*.yml")))
    done = subprocess.run([tool("promtool"), "check", "rules", *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_with_its_exact_text_and_not_before() -> None:
    done = run_tests(str(tool("promtool")), capture=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_has_a_case_that_fires_and_one_that_does_not_yet(name: str) -> None:
    cases = [
        case
        for path in (ROOT / "tests").glob("*.yml")
        for group in yaml.safe_load(path.read_text())["tests"]
        for case in group.get("alert_rule_test", [])
        if case["alertname"] == name
    ]
    assert any(case["exp_alerts"] for case in cases)
    assert any(not case["exp_alerts"] for case in cases)
    for case in cases:
        for expected in case["exp_alerts"]:
            assert {"severity", "team", "environment"} <= set(expected["exp_labels"])


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_has_a_runbook_with_the_four_answers(name: str) -> None:
    text = (ROOT / "runbooks" / f"{name}.md").read_text()
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [f"# {name}", "## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]
    assert len(text) > 400


def test_no_runbook_is_left_over() -> None:
    assert {path.stem for path in (ROOT / "runbooks").glob("*.md")} == set(NAMES)


def test_burn_alerts_read_only_windows_that_are_recorded() -> None:
    recorded = {rule["record"] for rule in GROUPS["slo"].rules}
    assert len(recorded) == len(OBJECTIVES) * len(windows())
    for speed, burns in SPEEDS.items():
        for objective in OBJECTIVES:
            name = f"SuperAgent{objective.name}BudgetBurn{speed}"
            rule = next(rule for rule in alert_rules() if rule["alert"] == name)
            for burn in burns:
                for window in (burn.long, burn.short):
                    assert f"{objective.record}:ratio_rate{window} " in rule["expr"]
                    assert f"{objective.record}:ratio_rate{window}" in recorded


RUNBOOKS = {path.name: " ".join(path.read_text().split()) for path in (ROOT / "runbooks").glob("*.md")}


def test_commands_in_runbooks_are_commands_that_the_tool_takes() -> None:
    """A page that is read at night must not send somebody after a verb or an option that was renamed."""
    found = [(page, words) for page, text in RUNBOOKS.items() for words in re.findall(COMMAND, text)]
    assert len(found) > 30
    wrong = []
    for page, words in found:
        try:
            understood(words)
        except (AssertionError, ValueError, click.ClickException) as refused:
            wrong.append(f"{page}: {words}: {refused}")
    assert wrong == []


def takes_a_stack(words: str) -> bool:
    """Whether a command acts on an environment that an option names, and on the local one without it."""
    command: click.Command | None = main
    for word in words.split()[1:]:
        if not isinstance(command, click.Group) or word.startswith("-"):
            break
        command = command.get_command(click.Context(main), word)
    assert command is not None, words
    return any(param.name == "stack" for param in command.params) and "--help" not in words


def test_commands_in_runbooks_name_the_environment() -> None:
    """Without it they look at the local system, or change it, while production waits."""
    found = [(page, words) for page, text in RUNBOOKS.items() for words in re.findall(COMMAND, text)]
    acting = [one for one in found if one[1].startswith("superagent ") and takes_a_stack(one[1])]
    assert len(acting) > 20
    assert [f"{page}: {words}" for page, words in acting if "--stack" not in words] == []


def test_metrics_in_runbooks_are_metrics_that_exist() -> None:
    known = known_metrics()
    named = {
        (page, name)
        for page, text in RUNBOOKS.items()
        for name in re.findall(r"`((?:superagent|redis|process|node)_\w+)(?:\{[^`]*)?`", text)
    }
    assert len(named) > 5
    assert sorted(one for one in named if one[1] not in known) == []
