"""Optional parts from the distribution's packages, unpacked without root into this user's cache.

`python -m infra.local.packages` fetches what is missing. apt verifies each package against the signed lists
of the sources that this machine trusts already (apt-secure(8)); nothing outside the cache is touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from infra.console import err, step
from infra.local import parts
from infra.local.parts import Part

SECONDS: Final = 300
INSECURE: Final = ("Acquire::AllowInsecureRepositories=false", "APT::Get::AllowUnauthenticated=false")


class CannotFetch(Exception):
    """Why the packages could not be had, in a few words."""


def fetch_once() -> None:
    """Fetch what is missing, unless that was tried before on this machine: `up` must not wait each time."""
    if not _tried().exists() and parts.missing():
        fetch()


def fetch() -> bool:
    """Fetch what is missing; says in one line when it cannot be had. True: nothing is missing any more."""
    absent = parts.missing()
    if not absent:
        return True
    _tried().parent.mkdir(parents=True, exist_ok=True)
    names = ", ".join(part.name for part in absent)
    try:
        with step(f"Downloaded {names}"):
            install(absent, parts.cache_folder())
    except CannotFetch as why:
        err.print(
            f"Not downloaded ({why}): {names}; everything else runs without. "
            f"Later: `python -m infra.local.packages`.",
            soft_wrap=True,
        )
    _tried().touch()
    parts.forget()
    return not parts.missing()


def install(wanted: list[Part], cache: Path) -> None:
    """Download and unpack packages below `cache`; each folder appears whole or not at all.

    Raises `CannotFetch`.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise CannotFetch(f"this system has no {tool}")
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        private = Path(scratch)
        _apt(private, "update")
        for part in wanted:
            files = _download(private, part)
            version = files[0].name.split("_")[1].replace("%3a", ":")
            fresh = private / "unpacked" / part.name
            fresh.mkdir(parents=True)
            for file in files:
                _run(["dpkg-deb", "-x", str(file), str(fresh)], private)
            target = cache / f"{part.name}-{version}"
            shutil.rmtree(target, ignore_errors=True)
            fresh.rename(target)


def _download(private: Path, part: Part) -> list[Path]:
    """The part's package first, what it needs beside it after."""
    folder = private / part.name
    folder.mkdir()
    _apt(private, "download", part.package, *part.extras, folder=folder)
    files = sorted(folder.glob("*.deb"), key=lambda file: file.name.split("_")[0] != part.package)
    if not files:
        raise CannotFetch(f"apt-get downloaded no {part.package}")
    return files


def _apt(private: Path, *words: str, folder: Path | None = None) -> None:
    for needed in ("state/lists/partial", "cache/archives/partial"):
        (private / needed).mkdir(parents=True, exist_ok=True)
    options = [
        f"Dir::State={private / 'state'}",
        f"Dir::Cache={private / 'cache'}",
        "Dir::State::status=/var/lib/dpkg/status",
        "APT::Sandbox::User=",  # root's apt would drop to a user who cannot write here
        "Acquire::Languages=none",
        "Acquire::Retries=1",
        "Acquire::http::Timeout=20",
        "APT::Update::Error-Mode=any",
        *INSECURE,
    ]
    _run(["apt-get", "-qq", *(f"-o{option}" for option in options), *words], folder or private)


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired:
        raise CannotFetch(f"{command[0]} took longer than {SECONDS} s") from None
    if done.returncode:
        lines = [
            line for line in done.stderr.splitlines() if line.startswith("E:")
        ] or done.stderr.splitlines()
        raise CannotFetch(lines[0].removeprefix("E: ") if lines else f"{command[0]} failed")


def _tried() -> Path:
    return parts.cache_folder() / "tried"


if __name__ == "__main__":
    raise SystemExit(0 if fetch() else 1)
