"""Markdown of the reference pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; pipes and line breaks in cells are made harmless."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def code(text: str) -> str:
    """Inline code, or a dash for nothing."""
    return f"`{text}`" if text else "–"


def page(title: str, about: str, *sections: str) -> str:
    """A whole page, with the command that wrote it."""
    note = "Made from the code by `python -m docs.reference`; a test compares."
    return "\n".join([f"# {title}\n", f"{about} {note}\n", *sections]).rstrip() + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
