"""An analysis as Markdown for people and as data for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from service.agents.code.findings import Analysis, Finding, FunctionMetrics, Kind

_TITLES: Final[dict[Kind, str]] = {
    "syntax": "Syntax",
    "security": "Security",
    "performance": "Performance",
    "smell": "Code smells",
}
_MOST_COMPLEX: Final = 10


def data(analyses: list[Analysis]) -> dict[str, Any]:
    """Everything, JSON-able: `snippets` in the order of the message and a `summary` of counts."""
    findings = [finding for analysis in analyses for finding in analysis.findings]
    return {
        "summary": {
            "snippets": len(analyses),
            "lines": sum([analysis.lines for analysis in analyses]),
            "findings": len(findings),
            "by_kind": {kind: sum([one.kind == kind for one in findings]) for kind in _TITLES},
            "by_severity": {
                severity: sum([one.severity == severity for one in findings])
                for severity in ("high", "medium", "low")
            },
        },
        "snippets": [asdict(analysis) for analysis in analyses],
    }


def markdown(analyses: list[Analysis]) -> str:
    """The report that the chat shows."""
    parts = [_snippet(number, analysis) for number, analysis in enumerate(analyses, 1)]
    return "\n\n".join(["# Code analysis", *parts]) + "\n"


def _snippet(number: int, analysis: Analysis) -> str:
    count = len(analysis.findings)
    lines = [
        f"## Snippet {number}: {analysis.language}, {analysis.lines} lines, "
        f"{count} finding{'' if count == 1 else 's'}"
    ]
    for kind, title in _TITLES.items():
        rows = [finding for finding in analysis.findings if finding.kind == kind]
        if rows:
            lines += ["", f"### {title}", "", *[_finding(row) for row in rows]]
    if analysis.functions:
        lines += ["", "### Complexity", "", *_complexity(analysis.functions)]
    if not count:
        lines += ["", "Nothing stands out."]
    return "\n".join(lines)


def _finding(finding: Finding) -> str:
    reference = f", CWE-{finding.cwe}" if finding.cwe else ""
    return (
        f"- **{finding.severity}** line {finding.line}: {finding.message} {finding.suggestion} "
        f"(`{finding.rule}`{reference})"
    )


def _complexity(functions: tuple[FunctionMetrics, ...]) -> list[str]:
    worst = sorted(functions, key=lambda one: (-one.complexity, one.line))[:_MOST_COMPLEX]
    rows = [
        f"| `{one.name.replace('|', ' ')}` | {one.line} | {one.complexity} | {one.nesting} | {one.lines} |"
        for one in worst
    ]
    left = len(functions) - len(worst)
    more = [f"\n{left} simpler functions are left out."] if left else []
    return ["| Function | Line | Complexity | Nesting | Lines |", "|---|---|---|---|---|", *rows, *more]
