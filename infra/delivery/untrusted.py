"""Text that a fork's code wrote, made safe to be posted in the repository's name. Standard library only."""

from __future__ import annotations

import re
from typing import Final

LIMIT: Final = 65_000
"""GitHub refuses comments over 65,536 characters (pulumi/pulumi#4515)."""
NOTE: Final = "\n\n… cut; the whole text is an artifact of the run.\n"
TAGS: Final = re.compile(r"<(?!/?(?:details|summary)>|br/>)(?=[A-Za-z/!?])")
HIDDEN: Final = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
CONTROL: Final = re.compile(r"[^\S\n\t ]|[\x00-\x08\x0b-\x1f\x7f]|[\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
CALLS: Final = re.compile(r"([@#])(?=[A-Za-z0-9])")
LINKS: Final = re.compile(r"(?i)\b(https?|ftp|mailto|www)(:|\.)(?=\S)")
APART: Final = "\u200b"
"""A zero-width space: nothing to see, and neither a mention nor a link any more."""


def clean(text: str) -> str:
    """Tables, folds and code stay; other HTML, hidden text, mentions, references, links and images do not."""
    text = CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = HIDDEN.sub("", text)
    text = TAGS.sub("&lt;", text)
    text = text.replace("](", "]\\(").replace("![", "!\\[")
    text = CALLS.sub(rf"\1{APART}", text)
    return LINKS.sub(rf"\1{APART}\2", text).strip() + "\n"


def cut(text: str, limit: int = LIMIT) -> str:
    """At most `limit` characters; folds and code blocks that the cut opened are closed again."""
    if len(text) <= limit:
        return text
    kept = text[: limit - len(NOTE) - 200]
    kept = kept[: kept.rfind("\n")]
    fence = "\n```" * (kept.count("```") % 2)
    folds = "\n</details>" * min(10, max(0, kept.count("<details>") - kept.count("</details>")))
    return kept + fence + folds + NOTE
