"""What an analysis says about code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["syntax", "security", "performance", "smell"]
Severity = Literal["high", "medium", "low"]

ORDER: Final[dict[Severity, int]] = {"high": 0, "medium": 1, "low": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark about one place. `line` counts from 1 within the snippet; `cwe` is 0 without one."""

    rule: str
    kind: Kind
    severity: Severity
    line: int
    message: str
    suggestion: str
    cwe: int = 0


@dataclass(frozen=True, slots=True)
class FunctionMetrics:
    """One function. `complexity` is McCabe's cyclomatic number (IEEE TSE SE-2(4), 1976): decisions + 1."""

    name: str
    line: int
    lines: int
    complexity: int
    nesting: int
    """Deepest nesting of control structures; 0 for straight code."""
    parameters: int


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything about one snippet."""

    language: str
    lines: int
    findings: tuple[Finding, ...]
    functions: tuple[FunctionMetrics, ...]
