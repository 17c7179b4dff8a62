"""The forms of a preview: for a pull request, a diagram, a program."""

from __future__ import annotations

import dataclasses
import json
import re

from infra.policy.model import Finding
from infra.preview import report as reports
from infra.preview.cost import estimate, prices
from infra.preview.diff import Difference, difference
from infra.preview.markdown import LIMIT, markdown, sticky
from infra.preview.mermaid import ARROWS, TITLES, mermaid
from infra.preview.report import Report, document, report
from tests.infra.estates import estate
from tests.infra.preview.test_diff import BUCKET, recorded, resource


def prod(compute: str = "ec2") -> Report:
    return report("prod", estate("prod", compute), "main", estate("prod", "ec2"))


def test_the_comment_begins_with_its_mark_and_says_the_sum() -> None:
    text = markdown(prod())
    assert text.startswith(sticky("prod"))
    assert "against `main`: no change" in text
    assert "0 policy findings" in text
    assert text.count("<details>") == text.count("</details>")


def test_a_loss_is_said_first_and_fails_the_check() -> None:
    found = report("prod", recorded(), "main", recorded(resource(BUCKET, "backups")))
    text = markdown(found)
    assert found.failed
    assert text.index("[!CAUTION]") < text.index("| Component")
    assert "🔴 **delete**" in text


def test_a_huge_comment_is_cut_where_nothing_stays_open() -> None:
    found = prod("eks")
    assert found.change is not None
    many = Difference([one for _ in range(60) for one in found.change.changes])
    text = markdown(dataclasses.replace(found, change=many))
    assert len(text) <= LIMIT
    assert text.rstrip().endswith("for the rest.")
    assert text.count("<details>") == text.count("</details>")
    assert text.count("```") % 2 == 0


def test_findings_stand_in_the_comment() -> None:
    broken = dataclasses.replace(prod(), findings=[Finding("tls", "urn", "x | y serves plain HTTP")])
    assert "| tls | x / y serves plain HTTP |" in markdown(broken)
    assert broken.failed


def test_the_diagram_knows_every_component_of_both_computes() -> None:
    for compute in ("ec2", "eks"):
        found = estate("prod", compute)
        names = {found.component(urn) for urn in found.custom}
        assert names <= set(TITLES)
        text = mermaid(prod(compute))
        assert text.startswith("flowchart LR\n")
        nodes = set(re.findall(r"^  (\w+)[\[(]", text, re.MULTILINE))
        for start, end in re.findall(r"^  (\w+) -->(?:\|[^|]*\|)? (\w+)$", text, re.MULTILINE):
            assert {start, end} <= nodes
    assert {end for _, end, _ in ARROWS} <= set(TITLES)


def test_the_json_form_lists_resources_and_hides_secrets() -> None:
    text = json.dumps(document(prod()))
    found = json.loads(text)
    assert len(found["resources"]) == len(estate("prod", "ec2").resources)
    assert {"urn", "type", "name", "component", "inputs"} <= set(found["resources"][0])
    assert "generated-by-secrets-manager" not in text
    assert "[secret]" in text


def test_cost_grows_with_what_costs() -> None:
    small, large = estimate(estate("dev", "ec2")), estimate(estate("prod", "ec2"))
    assert 0 < small.total < large.total
    assert large.unpriced == []
    assert estimate(estate("local", "local")).total == 0
    assert large.components["cache"] > small.components["cache"]


def test_prices_have_a_date_and_sources() -> None:
    assert prices()["as_of"].year >= 2025
    rows = {*prices()["hour"], *prices()["month"]}
    assert set(prices()["sources"]) == rows
    assert all(url.startswith("https://aws.amazon.com/") for url in prices()["sources"].values())
    assert set(prices()["checked"]) <= rows


def test_an_unknown_type_is_named_and_not_counted_as_free() -> None:
    database = resource("aws:rds/instance:Instance", "primary", inputs={"instanceClass": "db.x9.huge"})
    found = estimate(recorded(database))
    assert found.unpriced == ["primary (db.x9.huge)"]
    assert found.total == 0


def test_a_secret_output_is_a_finding() -> None:
    leaky = dataclasses.replace(recorded(), secret_outputs=("/password",))
    assert [one.rule for one in reports.broken(leaky)] == ["no-secret-outputs"]


def test_changing_the_compute_keeps_all_data() -> None:
    found = difference(estate("prod", "ec2"), estate("prod", "eks"))
    assert found.dangerous == []
