"""Keys and tokens from files, as they may stand in a header."""

from __future__ import annotations

from pathlib import Path


def one_line(path: Path) -> str:
    """The one word in a file. Raises `OSError` when it cannot be read, `ValueError` for other content.

    The errors never quote it: an HTTP client that refuses a header would.
    """
    try:
        text = path.read_text().strip()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text") from None
    if not text.isascii() or not text.isprintable() or len(text.split()) != 1:
        raise ValueError(f"{path} holds other than one line with one word")
    return text
