"""uPlot, the page's chart library: from the npm registry into this user's cache, pinned by hash.

Without it the page draws its lines itself, plainer; nothing else depends on it.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from infra.local.console import npm
from infra.local.parts import cache_folder

UPLOT: Final = npm.Package(
    "uplot",
    "1.6.32",
    "KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
)
FILES: Final = ("uPlot.iife.min.js", "uPlot.min.css")


def folder() -> Path:
    """Where the files are once they were fetched."""
    return cache_folder() / f"uplot-{UPLOT.version}"


def fetch() -> str:
    """Make sure that the files are there; returns why not, in a few words, or nothing."""
    if all((folder() / name).exists() for name in FILES):
        return ""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
        try:
            archive = npm.pack(UPLOT, Path(scratch))
        except npm.CannotFetch as why:
            return str(why)
        unpack(archive, Path(scratch) / "fresh")
        shutil.rmtree(folder(), ignore_errors=True)
        (Path(scratch) / "fresh").rename(folder())
    return ""


def unpack(package: Path, target: Path) -> None:
    """Only the files that the page loads; nothing in the archive chooses a path."""
    target.mkdir()
    with tarfile.open(package) as archive:
        for name in FILES:
            member = archive.extractfile(f"package/dist/{name}")
            assert member is not None, name
            (target / name).write_bytes(member.read())
