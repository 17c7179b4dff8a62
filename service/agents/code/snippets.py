"""Code in a message: CommonMark fences, read by a CommonMark parser."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt


@dataclass(frozen=True, slots=True)
class Snippet:
    """One fenced block. `tag` is the first word after the fence, lower case, `` when there is none."""

    tag: str
    code: str


def snippets(message: str) -> list[Snippet]:
    """The fenced code blocks of a message, also inside lists and quotes; empty ones are passed over."""
    if "```" not in message and "~~~" not in message:
        return []
    return [
        Snippet(tag=(token.info.split() or [""])[0].lower(), code=token.content)
        for token in _markdown().parse(message)
        if token.type == "fence" and token.content.strip()
    ]


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt  # on first use: a start should not pay for it

    return MarkdownIt("commonmark")
