"""The agent: finds the code in a message, analyses every block, writes the report."""

from __future__ import annotations

import re
from typing import Final

from service.agents.base import AgentLimits, AgentRefused, AgentReply
from service.agents.code.languages import GRAMMARS, Grammar, by_tag, guess
from service.agents.code.snippets import Snippet, read

MOST_SNIPPETS: Final = 20
MOST_LINES: Final = 5_000

_ASKS_FOR_REVIEW: Final = re.compile(
    r"(?i)\b(review|analy[sz]e|analysis|audit|lint|refactor|smells?|complexity|vulnerab\w*|secur\w*|bugs?|"
    r"inspect|check|improve|optimi[sz]e|wrong with)\b"
)


class CodeAnalysisAgent:
    """Findings and complexity for fenced code; the code is parsed, never executed."""

    name = "code-analysis"
    description = "Reviews code in a message: security, performance, smells, cyclomatic complexity."
    capabilities = ("code-review", "security-audit", "complexity", *[grammar.name for grammar in GRAMMARS])
    limits = AgentLimits(max_characters=200_000, max_seconds=20.0, max_concurrent=2)

    def can_handle(self, message: str) -> float:
        """Sure when there is code in a known language and the words ask for a review.

        Code alone is a coin's toss that goes to the agent only in a known language; a wish to have code
        written or explained belongs to a model.
        """
        found, words = read(message)
        if not found:
            return 0.0
        known = any(by_tag(snippet.tag) is not None for snippet in found)
        if _ASKS_FOR_REVIEW.search(words):
            return 0.95 if known else 0.7
        return 0.6 if known and not words.strip() else 0.3

    async def process(self, message: str) -> AgentReply:
        """Analyse each block. Raises `AgentRefused` without code, or with more than the limits allow."""
        # The parsers take a tenth of a second to import: paid by the first analysis, not by every start.
        from service.agents.code import report
        from service.agents.code.analyse import analyse

        found, _ = read(message)
        if not found:
            raise AgentRefused("There is no code in the message: put it between ``` fences.")
        if len(found) > MOST_SNIPPETS:
            raise AgentRefused(f"The message has {len(found)} code blocks; send {MOST_SNIPPETS} at a time.")
        lines = sum([len(snippet.code.splitlines()) for snippet in found])
        if lines > MOST_LINES:
            raise AgentRefused(f"The message has {lines:,} lines of code; send {MOST_LINES:,} at a time.")
        analyses = [await analyse(snippet.code, _grammar(snippet)) for snippet in found]
        return AgentReply(report.markdown(analyses), report.data(analyses))


def _grammar(snippet: Snippet) -> Grammar:
    if snippet.tag in ("", "text", "code"):
        return guess(snippet.code)
    grammar = by_tag(snippet.tag)
    if grammar is None:
        known = ", ".join(sorted([one.name for one in GRAMMARS]))
        raise AgentRefused(f"The language {snippet.tag[:40]!r} is not known here; these are: {known}.")
    return grammar
