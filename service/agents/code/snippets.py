"""Code in a message: CommonMark fences, read by a CommonMark parser."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_WORDS: Final = ("inline", "html_block")
"""Tokens of the parser that hold text and no code."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """One fenced block. `tag` is the first word after the fence, lower case, `` when there is none."""

    tag: str
    code: str


def read(message: str) -> tuple[list[Snippet], str]:
    """The fenced code blocks of a message, also inside lists and quotes, and what it says beside them; empty
    blocks are passed over, and so are the words of a message that has no block.
    """
    if "```" not in message and "~~~" not in message:
        return [], ""
    tokens = _markdown().parse(message)
    found = [
        Snippet(tag=(token.info.split() or [""])[0].lower(), code=token.content)
        for token in tokens
        if token.type == "fence" and token.content.strip()
    ]
    return found, "\n".join([token.content for token in tokens if token.type in _WORDS])


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt  # on first use: a start should not pay for it

    # What stands inside a paragraph is of no interest, and takes most of the time.
    return MarkdownIt("commonmark").disable("inline")
