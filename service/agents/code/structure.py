"""Functions and their complexity, for every language from the same walk over its syntax tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tree_sitter import Node

from service.agents.code.findings import Finding, FunctionMetrics
from service.agents.code.languages import Grammar

# Above these a function is hard to test or to read (thresholds of NIST SP 500-235 and common linters).
COMPLEX: Final = 10
VERY_COMPLEX: Final = 20
LONG: Final = 60
DEEP: Final = 4
MANY_PARAMETERS: Final = 6

_PARAMETER_LISTS: Final = frozenset(
    {"parameters", "formal_parameters", "parameter_list", "closure_parameters", "lambda_parameters"}
)
_NOT_PARAMETERS: Final = frozenset({"comment", "line_comment", "block_comment", "receiver_parameter"})


def text(node: Node | None) -> str:
    """The source of a node; `` for None."""
    return (node.text or b"").decode("utf-8", "replace") if node is not None else ""


def line(node: Node) -> int:
    """First line of a node, from 1."""
    return node.start_point[0] + 1


def walk(root: Node) -> Iterator[Node]:
    """Every node, without recursion: code in a message may be nested a hundred thousand deep."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(node.children))


def depth(root: Node, most: int) -> int:
    """Levels of the tree, counted no further than `most` + 1."""
    deepest = 0
    stack = [(root, 1)]
    while stack and deepest <= most:
        node, level = stack.pop()
        deepest = max(deepest, level)
        stack.extend([(child, level + 1) for child in node.children])
    return deepest


def broken(root: Node) -> int:
    """Tokens in the widest stretch that the grammar could not read."""
    if not root.has_error:
        return 0
    return max([node.child_count for node in walk(root) if node.is_error], default=0)


def functions(root: Node, grammar: Grammar) -> list[FunctionMetrics]:
    """Metrics of every named or anonymous function, in order of appearance.

    A function inside another one counts for itself only.
    """
    return [_measure(node, grammar) for node in walk(root) if node.type in grammar.functions]


def structural(metrics: list[FunctionMetrics]) -> Iterator[Finding]:
    """Smells that follow from the numbers."""
    for one in metrics:
        if one.complexity > COMPLEX:
            yield Finding(
                "complex-function",
                "smell",
                "high" if one.complexity > VERY_COMPLEX else "medium",
                one.line,
                f"{one.name} has a cyclomatic complexity of {one.complexity} (limit {COMPLEX}).",
                "Split it: one function for each decision that can be named.",
            )
        if one.lines > LONG:
            yield Finding(
                "long-function", "smell", "low", one.line,
                f"{one.name} has {one.lines} lines (limit {LONG}).",
                "Move steps that have a name into functions of their own.",
            )  # fmt: skip
        if one.nesting > DEEP:
            yield Finding(
                "deep-nesting", "smell", "medium", one.line,
                f"{one.name} nests {one.nesting} levels deep (limit {DEEP}).",
                "Return early, or move the inner block into a function.",
            )  # fmt: skip
        if one.parameters > MANY_PARAMETERS:
            yield Finding(
                "many-parameters", "smell", "low", one.line,
                f"{one.name} takes {one.parameters} parameters (limit {MANY_PARAMETERS}).",
                "Group the ones that belong together into a type.",
            )  # fmt: skip


def syntax_errors(root: Node, most: int = 5) -> Iterator[Finding]:
    """The first places that the grammar could not read."""
    if not root.has_error:
        return
    stack = [root]
    found = 0
    while stack and found < most:
        node = stack.pop()
        if node.is_error or node.is_missing:
            found += 1
            what = f"{node.type!r} is missing" if node.is_missing else "this cannot be read"
            yield Finding(
                "syntax-error", "syntax", "high", line(node), f"Syntax error: {what}.",
                "Mend this first: findings after it may be wrong or missing.",
            )  # fmt: skip
        elif node.has_error:
            stack.extend(reversed(node.children))


def _measure(function: Node, grammar: Grammar) -> FunctionMetrics:
    complexity, deepest = 1, 0
    stack = [(child, 0) for child in function.children]
    while stack:
        node, depth = stack.pop()
        if node.type in grammar.functions:
            continue
        if node.is_named:
            complexity += node.type in grammar.decisions and not _is_default(node)
            depth += node.type in grammar.nesting and not _is_else_if(node)
            deepest = max(deepest, depth)
        else:
            complexity += node.type in grammar.operators
        stack.extend([(child, depth) for child in node.children])
    return FunctionMetrics(
        name=_name(function),
        line=line(function),
        lines=function.end_point[0] - function.start_point[0] + 1,
        complexity=complexity,
        nesting=deepest,
        parameters=_parameters(function),
    )


def _is_default(node: Node) -> bool:
    """The way that remains when nothing else matched is no decision."""
    if node.child_count and node.children[0].type == "default":
        return True
    return node.type == "match_arm" and text(node.child_by_field_name("pattern")) == "_"


def _is_else_if(node: Node) -> bool:
    """`else if` reads as one level, although most grammars nest it."""
    parent = node.parent
    if parent is None or not node.type.startswith("if_"):
        return False
    if parent.type == "else_clause":
        return True
    return parent.type == node.type and parent.child_by_field_name("alternative") == node


def _name(function: Node) -> str:
    named = function.child_by_field_name("name") or function.child_by_field_name("declarator")
    while named is not None and named.child_by_field_name("declarator") is not None:
        named = named.child_by_field_name("declarator")
    if named is None and function.parent is not None:
        holder = function.parent  # const add = (a, b) => …
        named = holder.child_by_field_name("name") or holder.child_by_field_name("key")
    return text(named)[:80] or "(anonymous)"


def _parameters(function: Node) -> int:
    for node in walk(function):
        if node.type in _PARAMETER_LISTS:
            return sum(
                [
                    max(1, len(child.children_by_field_name("name")))  # Go: `a, b int` is one node
                    for child in node.named_children
                    if child.type not in _NOT_PARAMETERS
                ]
            )
        if node.type in ("block", "statement_block", "compound_statement"):
            break
    return 0
