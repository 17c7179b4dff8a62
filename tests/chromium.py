"""A Chromium for tests: the machine's own, else a headless build from npm in this user's cache.

`@sparticuz/chromium` (MIT) carries Chromium's headless shell with the few libraries and the font that a bare
Linux lacks; it needs glibc >= 2.25 on x86_64 and no root. 70 MB, fetched once, pinned by hash.
`python -m tests.chromium` fetches it and says where it is, or why not.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from infra.local.console import npm
from infra.local.parts import cache_folder

NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
HEADLESS: Final = npm.Package(
    "@sparticuz/chromium",
    "153.0.0",
    "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==",
)
ARCHIVES: Final = ("al2023.tar", "fonts.tar")
"""Libraries and a font; the package's software renderer for WebGL is not needed."""

INFLATE: Final = """
const fs = require('fs'), zlib = require('zlib'), [from, to] = process.argv.slice(1);
require('stream').pipeline(fs.createReadStream(from), zlib.createBrotliDecompress(), fs.createWriteStream(to),
  error => { if (error) { console.error(error.message); process.exit(1); } });
"""
"""Node came with npm and knows Brotli, which Python's standard library does not."""


@dataclass(frozen=True, slots=True)
class Browser:
    """A program that speaks the DevTools protocol, and what its environment needs."""

    path: str
    environment: dict[str, str] = field(default_factory=dict)


def find() -> Browser | str:
    """The machine's browser or the fetched one; else why there is none, in a few words."""
    system = next((path for path in map(shutil.which, NAMES) if path), None)
    return Browser(system) if system else fetched()


@cache
def fetched() -> Browser | str:
    """The headless build from the cache, downloaded when it is not there yet; else why not."""
    folder = cache_folder() / f"chromium-{HEADLESS.version}"
    if not (folder / "chromium").exists():
        try:
            install(folder)
        except npm.CannotFetch as why:
            return str(why)
    environment = {
        "LD_LIBRARY_PATH": str(folder / "lib"),
        "FONTCONFIG_PATH": str(folder),
        "LC_ALL": "en_US.UTF-8",  # in C it calls its language en-US@posix, which Intl refuses
    }
    return Browser(str(folder / "chromium"), environment)


def install(folder: Path) -> None:
    """Download, check and unpack; `folder` appears whole or not at all. Raises `npm.CannotFetch`."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise npm.CannotFetch("there is a build for Linux on x86_64 only")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        scratch = Path(name)
        fresh = scratch / "fresh"
        fresh.mkdir()
        with tarfile.open(npm.pack(HEADLESS, scratch)) as package:
            for part in ("chromium", *ARCHIVES):
                member = package.extractfile(f"package/bin/{part}.br")
                assert member is not None, part
                with member, (scratch / f"{part}.br").open("wb") as out:
                    shutil.copyfileobj(member, out)
        inflate(scratch / "chromium.br", fresh / "chromium")
        for part in ARCHIVES:
            inflate(scratch / f"{part}.br", scratch / part)
            with tarfile.open(scratch / part) as archive:
                archive.extractall(fresh)
        (fresh / "chromium").chmod(0o755)
        (fresh / "fonts.conf").write_text(FONTS)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)


FONTS: Final = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">fonts</dir><dir>/usr/share/fonts</dir></fontconfig>
"""


def inflate(source: Path, target: Path) -> None:
    """Undo Brotli. Raises `npm.CannotFetch`."""
    try:
        command = ["node", "-e", INFLATE, str(source), str(target)]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    except (subprocess.SubprocessError, OSError):
        raise npm.CannotFetch("node could not unpack it") from None


if __name__ == "__main__":
    found = fetched()
    print(found.path if isinstance(found, Browser) else f"No Chromium: {found}.")
    raise SystemExit(0 if isinstance(found, Browser) else 1)
