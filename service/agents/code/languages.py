"""The languages that the agent knows: their grammar, and which of its nodes mean what.

Node names are those of the tree-sitter grammars pinned in `service/requirements.txt`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tree_sitter import Language, Node


@dataclass(frozen=True, slots=True)
class Grammar:
    """One language. `decisions` add one each to cyclomatic complexity; `nesting` nodes open a level."""

    name: str
    tags: tuple[str, ...]
    module: str
    functions: frozenset[str]
    decisions: frozenset[str]
    loops: frozenset[str]
    nesting: frozenset[str]
    operators: frozenset[str] = frozenset({"&&", "||"})
    factory: str = "language"
    rules: str = ""
    """Whose rules hold; itself when empty."""


def _grammar(
    name: str,
    tags: str,
    functions: str,
    ifs: str,
    loops: str,
    blocks: str,
    arms: str,
    *,
    operators: str = "&& ||",
    module: str = "",
    factory: str = "language",
    rules: str = "",
) -> Grammar:
    """`ifs` and `loops` decide and nest, `blocks` only nest (their arms decide), `arms` only decide."""
    return Grammar(
        name=name,
        tags=(name, *tags.split()),
        module=module or f"tree_sitter_{name}",
        functions=frozenset(functions.split()),
        decisions=frozenset(f"{ifs} {loops} {arms}".split()),
        loops=frozenset(loops.split()),
        nesting=frozenset(f"{ifs} {loops} {blocks}".split()),
        operators=frozenset(operators.split()),
        factory=factory,
        rules=rules or name,
    )


_JS_FUNCTIONS: Final = (
    "function_declaration function_expression arrow_function method_definition "
    "generator_function_declaration generator_function"
)
_JS_LOOPS: Final = "for_statement for_in_statement while_statement do_statement"

GRAMMARS: Final[tuple[Grammar, ...]] = (
    _grammar(
        "python",
        "py python3",
        "function_definition lambda",
        "if_statement",
        "for_statement while_statement",
        "try_statement with_statement match_statement",
        "elif_clause except_clause case_clause conditional_expression",
        operators="and or",
    ),
    _grammar(
        "javascript",
        "js jsx mjs node",
        _JS_FUNCTIONS,
        "if_statement",
        _JS_LOOPS,
        "switch_statement try_statement",
        "switch_case catch_clause ternary_expression",
        operators="&& || ??",
    ),
    _grammar(
        "typescript",
        "ts",
        _JS_FUNCTIONS,
        "if_statement",
        _JS_LOOPS,
        "switch_statement try_statement",
        "switch_case catch_clause ternary_expression",
        operators="&& || ??",
        factory="language_typescript",
        rules="javascript",
    ),
    _grammar(
        "tsx",
        "",
        _JS_FUNCTIONS,
        "if_statement",
        _JS_LOOPS,
        "switch_statement try_statement",
        "switch_case catch_clause ternary_expression",
        operators="&& || ??",
        module="tree_sitter_typescript",
        factory="language_tsx",
        rules="javascript",
    ),
    _grammar(
        "java",
        "",
        "method_declaration constructor_declaration lambda_expression",
        "if_statement",
        "for_statement enhanced_for_statement while_statement do_statement",
        "switch_expression try_statement",
        "switch_label catch_clause ternary_expression",
    ),
    _grammar(
        "go",
        "golang",
        "function_declaration method_declaration func_literal",
        "if_statement",
        "for_statement",
        "expression_switch_statement type_switch_statement select_statement",
        "expression_case type_case communication_case",
    ),
    _grammar(
        "rust",
        "rs",
        "function_item closure_expression",
        "if_expression",
        "for_expression while_expression loop_expression",
        "match_expression",
        "match_arm try_expression",
    ),
    _grammar(
        "c",
        "h",
        "function_definition",
        "if_statement",
        "for_statement while_statement do_statement",
        "switch_statement",
        "case_statement conditional_expression",
    ),
)

_BY_TAG: Final[dict[str, Grammar]] = {tag: grammar for grammar in GRAMMARS for tag in grammar.tags}


def by_tag(tag: str) -> Grammar | None:
    """The language that a fence's tag names, or None."""
    return _BY_TAG.get(tag)


@cache
def language(grammar: Grammar) -> Language:
    """The grammar, loaded on first use: a process that never sees Rust never loads Rust."""
    from tree_sitter import Language

    make: Callable[[], object] = getattr(importlib.import_module(grammar.module), grammar.factory)
    return Language(make())


def parse(grammar: Grammar, code: bytes) -> Node:
    """The tree of `code`. A parser of its own, because a parser belongs to one thread at a time."""
    from tree_sitter import Parser

    return Parser(language(grammar)).parse(code).root_node


def guess(code: str, tags: tuple[str, ...] = ("python", "javascript", "java", "go", "rust", "c")) -> Grammar:
    """The language whose parser stumbles least over an untagged block; the first one wins a tie."""
    head = code[:8_000].encode()
    return min((_BY_TAG[tag] for tag in tags), key=lambda grammar: _errors(grammar, head))


def _errors(grammar: Grammar, code: bytes) -> int:
    """Bytes of `code` inside nodes that the grammar could not place."""
    stack = [parse(grammar, code)]
    wrong = 0
    while stack:
        node = stack.pop()
        if node.is_error or node.is_missing:
            wrong += max(1, node.end_byte - node.start_byte)
        elif node.has_error:
            stack.extend(node.children)
    return wrong
