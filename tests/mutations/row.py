"""One row: a behaviour, the text that carries it, the text that breaks it, and who must notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutation:
    """`old` stands exactly once in `file`; with `new` in its place, one of `tests` must fail.

    `behaviour` is what would be lost, in words. `file` is relative to the checkout, `tests` are node ids.
    """

    behaviour: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def stale(self, root: Path) -> str:
        """Why the row no longer fits the tree, or nothing."""
        path = root / self.file
        if not path.is_file():
            return f"there is no {self.file}"
        found = path.read_text().count(self.old)
        return "" if found == 1 else f"{self.file} has the text {found} times"

    def break_it(self, root: Path) -> None:
        """Put the new text in place: in a file of its own, as the tree may share its files with another copy.
        What Python compiled from the old one goes away.
        """
        path = root / self.file
        text = path.read_text().replace(self.old, self.new)
        path.unlink()
        path.write_text(text)
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
            compiled.unlink()


Areas = dict[str, tuple[Mutation, ...]]
