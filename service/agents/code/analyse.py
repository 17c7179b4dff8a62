"""One snippet in, one analysis out."""

from __future__ import annotations

import asyncio
from typing import Final

from service.agents.base import AgentRefused
from service.agents.code import python
from service.agents.code.findings import ORDER, Analysis, Finding
from service.agents.code.languages import Grammar, parse
from service.agents.code.rules.rule import apply
from service.agents.code.rules.table import RULES
from service.agents.code.structure import broken, depth, functions, structural, syntax_errors

MOST_DEPTH: Final = 1_000
"""Levels of a syntax tree; queries take time with the square of it, and people write about thirty."""
MOST_BROKEN: Final = 10_000
"""Tokens in one unreadable stretch; queries take time with the square of it, too."""


async def analyse(code: str, grammar: Grammar) -> Analysis:
    """Parse and check in a thread, so that the event loop stays free; ruff beside it for Python.

    Raises `AgentRefused` for code that is nested absurdly deep.
    """
    linting = asyncio.create_task(python.findings(code)) if grammar.name == "python" else None
    try:
        tree = await asyncio.to_thread(_tree, code, grammar)
        more = await linting if linting is not None else []
    finally:
        if linting is not None:
            linting.cancel()
    found = sorted(
        {*tree.findings, *more}, key=lambda one: (ORDER[one.severity], one.line, one.rule, one.message)
    )
    return Analysis(tree.language, tree.lines, tuple(found), tree.functions)


def _tree(code: str, grammar: Grammar) -> Analysis:
    root = parse(grammar, code.encode("utf-8", "replace"))
    if depth(root, MOST_DEPTH) > MOST_DEPTH:
        raise AgentRefused(f"The code is nested more than {MOST_DEPTH:,} levels deep; send a part of it.")
    if broken(root) > MOST_BROKEN:
        raise AgentRefused(f"Most of this cannot be read as {grammar.name}; check the fence's language.")
    measured = functions(root, grammar)
    found: list[Finding] = [*syntax_errors(root), *structural(measured)]
    found.extend(apply(RULES.get(grammar.rules, ()), root, grammar))
    return Analysis(grammar.name, len(code.splitlines()), tuple(found), tuple(measured))
