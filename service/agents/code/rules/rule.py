"""A rule is a tree-sitter query and what to say where it matches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from tree_sitter import Node, Query, QueryCursor

from service.agents.code.findings import Finding, Kind, Severity
from service.agents.code.languages import Grammar, language
from service.agents.code.structure import line, text

Captures = dict[str, list[Node]]
Condition = Callable[[Captures, Grammar], bool]

SECRET_NAME: Final = re.compile(
    r"(?i)(passw(or)?d|passwd|secret|api_?key|access_?key|auth_?token|private_?key)"
)
_PLAIN_VALUE: Final = re.compile(
    r"(?i)^(changeme|example|xxx+|\*+|<.*>|\$\{.*\}|your[-_ ].*|none|null|test)$"
)
_QUOTED: Final = re.compile(r"([\"'`])(.*?)\1")
_SQL: Final = re.compile(r"(?i)^\W*(select\s.+\sfrom|insert\s+into|update\s.+\sset|delete\s+from)\b")


@dataclass(frozen=True, slots=True)
class Rule:
    """`query` captures the place to report as `@at`; `when` sees the captures and has the last word."""

    name: str
    kind: Kind
    severity: Severity
    query: str
    message: str
    suggestion: str
    cwe: int = 0
    when: Condition | None = None


@cache
def _query(grammar: Grammar, source: str) -> Query:
    return Query(language(grammar), source)


def apply(rules: Iterable[Rule], root: Node, grammar: Grammar) -> Iterator[Finding]:
    """Every finding of the rules, at most one for a rule and a line."""
    for rule in rules:
        lines: set[int] = set()
        for _, captures in QueryCursor(_query(grammar, rule.query)).matches(root):
            where = line(captures["at"][0])
            if where in lines or (rule.when is not None and not rule.when(captures, grammar)):
                continue
            lines.add(where)
            yield Finding(rule.name, rule.kind, rule.severity, where, rule.message, rule.suggestion, rule.cwe)


def literal(node: Node) -> bool:
    """Whether the value is written in place, so that no input can reach it."""
    kind = node.type
    if kind == "template_string":
        return not any(child.type == "template_substitution" for child in node.children)
    if kind in ("binary_expression", "parenthesized_expression"):
        return all(literal(child) for child in node.named_children)
    return "literal" in kind or kind in ("string", "number", "true", "false", "null", "nil")


def not_literal(captures: Captures, grammar: Grammar) -> bool:
    """`@value` is computed."""
    return not literal(captures["value"][0])


def secret(captures: Captures, grammar: Grammar) -> bool:
    """`@name` sounds like a secret and `@value` looks like a real one."""
    quoted = _QUOTED.search(text(captures["value"][0]))
    value = quoted[2] if quoted else ""
    return (
        SECRET_NAME.search(text(captures["name"][0])) is not None
        and len(value) >= 6
        and " " not in value
        and _PLAIN_VALUE.match(value) is None
    )


def built_sql(captures: Captures, grammar: Grammar) -> bool:
    """`@value` begins as an SQL statement and is put together from parts that are not literals."""
    value = captures["value"][0]
    return _SQL.match(text(value)) is not None and not literal(value)


def in_loop(captures: Captures, grammar: Grammar) -> bool:
    """`@at` runs once a turn of a loop of its own function."""
    node = captures["at"][0]
    while (parent := node.parent) is not None and parent.type not in grammar.functions:
        if parent.type in grammar.loops and (parent.child_by_field_name("body") or node) == node:
            return True
        node = parent
    return False


def string_in_loop(captures: Captures, grammar: Grammar) -> bool:
    """`@at` appends to `@name` in a loop, and `@name` was declared in this function as a string."""
    if not in_loop(captures, grammar):
        return False
    name = text(captures["name"][0])
    function = captures["at"][0]
    while function.parent is not None and function.type not in grammar.functions:
        function = function.parent
    declared = rf"(String|string)\s+{re.escape(name)}\b|\b{re.escape(name)}\s*(:=|:\s*string\s*=|=)\s*[\"'`]"
    return re.search(declared, text(function)) is not None
