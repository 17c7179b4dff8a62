"""The form for a pull request: a summary to read, details to unfold, never longer than GitHub takes."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final

from infra.preview.cost import prices
from infra.preview.diff import KINDS, Change
from infra.preview.mermaid import mermaid
from infra.preview.report import Report

LIMIT: Final = 65_000
"""GitHub refuses comments over 65,536 characters (pulumi/pulumi#4515)."""
MARK: Final = {
    "create": "🟢 create",
    "update": "🟡 update",
    "replace": "🔴 **replace**",
    "delete": "🔴 **delete**",
}
VALUE_LENGTH: Final = 80
PROPERTIES: Final = 12


def sticky(stack: str) -> str:
    """Hidden first line by which a workflow finds its own comment again."""
    return f"<!-- superagent-preview:{stack} -->"


def markdown(report: Report) -> str:
    """The comment; cut with a note when it would be too long."""
    parts = [sticky(report.stack), f"## Preview of `{report.stack}`", "", *_summary(report), ""]
    if report.change is not None:
        parts += _changes(report.change.changes)
    parts += _findings(report) + _cost(report) + _estate(report)
    text = "\n".join(parts).rstrip() + "\n"
    if len(text) <= LIMIT:
        return text
    note = "\n\n… cut; run `superagent preview` here for the rest.\n"
    kept = text[: LIMIT - len(note) - 40]
    # A cut inside a fold would swallow the note.
    closing = "\n```" * (kept.count("```") % 2) + "\n</details>" * (
        kept.count("<details>") - kept.count("</details>")
    )
    return kept + closing + note


def _summary(report: Report) -> list[str]:
    lines = [f"{len(report.estate.resources)} resources"]
    if report.change is not None:
        counts = ", ".join(
            f"{report.change.count(kind)} {kind}" for kind in KINDS if report.change.count(kind)
        )
        lines.append(f"against `{report.base}`: {counts or 'no change'}")
    lines.append(f"{len(report.findings)} policy findings")
    lines.append(f"about ${report.cost.total:,.0f} a month{_delta(report)}")
    summary = [" · ".join(lines)]
    if report.change is not None and report.change.dangerous:
        names = ", ".join(f"`{one.component}/{one.name}`" for one in report.change.dangerous)
        summary += ["", "> [!CAUTION]", f"> Data or addresses would be lost: {names}"]
    return summary


def _delta(report: Report) -> str:
    change = report.cost_change
    return "" if not change else f" ({'+' if change > 0 else '−'}${abs(change):,.0f})"


def _changes(changes: list[Change]) -> list[str]:
    if not changes:
        return []
    lines = ["| | Component | Resource | Type |", "|---|---|---|---|"]
    lines += [
        f"| {MARK[one.kind]} | {one.component} | `{one.name}` | {short(one.type)} |" for one in changes[:100]
    ]
    if len(changes) > 100:
        lines.append(f"| … | | {len(changes) - 100} more | |")
    lines.append("")
    for one in changes:
        if one.properties or one.reason:
            lines += [f"<details><summary>{one.kind} {one.component}/{one.name}</summary>", ""]
            lines += [one.reason, ""] if one.reason else []
            lines += ["```diff"]
            for prop in one.properties[:PROPERTIES]:
                lines += [f"- {prop.path}: {show(prop.old)}", f"+ {prop.path}: {show(prop.new)}"]
            if len(one.properties) > PROPERTIES:
                lines.append(f"  … {len(one.properties) - PROPERTIES} more")
            lines += ["```", "</details>"]
    return [*lines, ""]


def _findings(report: Report) -> list[str]:
    if not report.findings:
        return []
    rows = [f"| {one.rule} | {one.message.replace('|', '/')} |" for one in report.findings]
    return ["### Policy", "", "| Rule | Finding |", "|---|---|", *rows, ""]


def _cost(report: Report) -> list[str]:
    if not report.cost.components:
        return []
    before = report.base_cost.components if report.base_cost else {}
    rows = []
    for name, usd in report.cost.components.items():
        change = usd - before.get(name, 0.0) if report.base_cost else 0.0
        rows.append(f"| {name} | {usd:,.0f} | {f'{change:+,.0f}' if round(change) else ''} |")
    return [
        f"<details><summary>Cost: about ${report.cost.total:,.0f} a month{_delta(report)}</summary>",
        "",
        "| Component | USD a month | Change |",
        "|---|---:|---:|",
        *rows,
        "",
        f"List prices of {prices()['as_of']}, without traffic and requests.",
        *([f"Without a price: {', '.join(report.cost.unpriced)}."] if report.cost.unpriced else []),
        "</details>",
        "",
    ]


def _estate(report: Report) -> list[str]:
    estate = report.estate
    kinds: dict[str, Counter[str]] = {}
    for urn, one in estate.resources.items():
        if urn in estate.custom:
            kinds.setdefault(estate.component(urn), Counter())[short(one.type)] += 1
    rows = [
        f"| {component} | {sum(counts.values())} | "
        + ", ".join(f"{kind} ×{n}" if n > 1 else kind for kind, n in counts.most_common())
        + " |"
        for component, counts in sorted(kinds.items())
    ]
    return [
        "<details><summary>The whole estate</summary>",
        "",
        "| Component | Resources | Types |",
        "|---|---:|---|",
        *rows,
        "",
        "```mermaid",
        mermaid(report).rstrip(),
        "```",
        "</details>",
    ]


def short(kind: str) -> str:
    """`aws:rds/instance:Instance` as `rds.Instance`."""
    parts = kind.split(":")
    return f"{parts[1].split('/')[0]}.{parts[-1]}" if len(parts) == 3 else kind


def show(value: Any) -> str:
    """A value on one line, cut."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split()).replace("```", "'''")
    return text if len(text) <= VALUE_LENGTH else text[: VALUE_LENGTH - 1] + "…"
