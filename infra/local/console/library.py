"""uPlot, the page's chart library: from the npm registry into this user's cache, pinned by hash.

Without it the page draws its lines itself, plainer; nothing else depends on it.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from infra.local.parts import cache_folder

VERSION: Final = "1.6.32"
INTEGRITY: Final = "KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw=="
"""SHA-512 of the package, as the registry and every lock file name it."""

FILES: Final = ("uPlot.iife.min.js", "uPlot.min.css")
SECONDS: Final = 60


def folder() -> Path:
    """Where the files are once they were fetched."""
    return cache_folder() / f"uplot-{VERSION}"


def fetch() -> str:
    """Make sure that the files are there; returns why not, in a few words, or nothing."""
    if all((folder() / name).exists() for name in FILES):
        return ""
    npm = shutil.which("npm")
    if npm is None:
        return "this machine has no npm"
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
        command = [npm, "pack", "--silent", "--ignore-scripts", f"uplot@{VERSION}"]
        try:
            subprocess.run(command, cwd=scratch, check=True, capture_output=True, timeout=SECONDS)
        except (subprocess.SubprocessError, OSError):
            return "the npm registry did not give it"
        package = next(Path(scratch).glob("*.tgz"))
        if digest(package) != INTEGRITY:
            return "the package is not the one that was pinned"
        unpack(package, Path(scratch) / "fresh")
        shutil.rmtree(folder(), ignore_errors=True)
        (Path(scratch) / "fresh").rename(folder())
    return ""


def digest(package: Path) -> str:
    """SHA-512 in base64, as lock files write it."""
    return base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()


def unpack(package: Path, target: Path) -> None:
    """Only the files that the page loads; nothing in the archive chooses a path."""
    target.mkdir()
    with tarfile.open(package) as archive:
        for name in FILES:
            member = archive.extractfile(f"package/dist/{name}")
            assert member is not None, name
            (target / name).write_bytes(member.read())
