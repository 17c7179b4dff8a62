"""One package from the npm registry, by npm itself, pinned by the hash that lock files name."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Package:
    """A package at a version; `integrity` is its SHA-512 in base64, as the registry names it."""

    name: str
    version: str
    integrity: str


class CannotFetch(Exception):
    """Why a package could not be had, in a few words."""


def pack(package: Package, folder: Path) -> Path:
    """Download the archive of `package` into `folder`; nothing of it is run. Raises `CannotFetch`."""
    npm = shutil.which("npm")
    if npm is None:
        raise CannotFetch("this machine has no npm")
    wanted = f"{package.name}@{package.version}"
    command = [npm, "pack", "--silent", "--ignore-scripts", "--fetch-retries=1", wanted]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=SECONDS)
    except (subprocess.SubprocessError, OSError):
        raise CannotFetch("the npm registry did not give it") from None
    archive = next(folder.glob("*.tgz"))
    if digest(archive) != package.integrity:
        raise CannotFetch("the package is not the one that was pinned")
    return archive


def digest(archive: Path) -> str:
    """SHA-512 in base64, as lock files write it."""
    with archive.open("rb") as file:
        return base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
