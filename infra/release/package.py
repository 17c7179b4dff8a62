"""`superagent package`: a wheel that is the same bytes every time, its bill of materials, and the image."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click

from infra import console
from infra.errors import OperationFailed, UserError
from infra.home import CHECKOUT
from infra.release import sbom
from infra.release.image import check_version

BUILDERS: Final = ("docker", "podman", "nerdctl", "buildah")
PACKAGED: Final = (
    "infra",
    "service",
    "alerts",
    "dashboards",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)
"""What pyproject.toml makes the wheel of."""
EPOCH: Final = 315_532_800
"""1980-01-01: what a zip file can say at the earliest."""
WHEEL_SOURCES: Final = ("infra", "service", "alerts", "dashboards", "pyproject.toml", "README.md", "LICENSE")
"""What `pip install .` packs (pyproject.toml)."""


@dataclass(frozen=True, slots=True)
class Package:
    """What was built."""

    version: str
    wheel: str
    sha256: str
    sbom: str
    image: str | None
    """Name and tag, when a builder was there."""


@click.command()
@click.option("--version", help="Tag of the image; the commit's short hash when left out.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("dist"), show_default=True)
@click.option("--repository", default="superagent", show_default=True, help="Image name without a tag.")
@click.option("--allow-dirty", is_flag=True, help="Build although files differ from the commit.")
@click.option("--no-image", is_flag=True, help="Wheel and bill of materials only.")
@click.option("--dry-run", is_flag=True, help="Say what would be built and build nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON on stdout.")
def package(
    version: str | None,
    output: Path,
    repository: str,
    allow_dirty: bool,
    no_image: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build a reproducible wheel, a CycloneDX bill of materials and, where a builder runs, the image.

    \b
    superagent package                                     tag = short commit hash
    superagent package --version v2 --repository 123456789012.dkr.ecr.eu-central-1.amazonaws.com/superagent

    Tags are immutable: an image of that tag is never built over. Nothing is pushed.
    """
    label = check_version(version or commit()[:12])
    if not allow_dirty and (changed := dirty()):
        raise UserError(
            f"{len(changed)} files differ from the commit, the first is {changed[0]}.",
            "Commit them, or build anyway with --allow-dirty.",
        )
    builder = None if no_image else find_builder()
    if dry_run:
        what = f"{repository}:{label} with {builder}" if builder else "no image (no builder runs here)"
        console.out.print(f"Would build the wheel into {output}, its bill of materials, and {what}.")
        return
    output.mkdir(parents=True, exist_ok=True)
    with console.step("Wheel"):
        wheel = build_wheel(output)
    with console.step("Bill of materials"):
        bill = write_sbom(output, label)
    image: str | None = None
    if builder:
        with console.step(f"Image {repository}:{label}"):
            image = build_image(builder, f"{repository}:{label}", label)
    elif not no_image:
        console.err.print("No image: neither docker, podman, nerdctl nor buildah answers here.")
    done = Package(label, str(wheel), digest(wheel), str(bill), image)
    if as_json:
        console.print_json(asdict(done))
    else:
        console.out.print(f"{done.wheel}\n  sha256 {done.sha256}\n{done.sbom}", soft_wrap=True)
        if image:
            console.out.print(image)


def build_wheel(output: Path) -> Path:
    """The wheel of what git tracks here: equal trees give equal bytes."""
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch()), "PYTHONHASHSEED": "0"}
        command = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "-w",
            scratch,
            str(_clean_tree(scratch)),
        ]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise OperationFailed(f"The wheel could not be built: {lines[-1]}")
        (built,) = Path(scratch).glob("*.whl")
        return normalised(built, output / built.name)


def normalised(built: Path, target: Path) -> Path:
    """A wheel with sorted entries, one time and plain modes: what the builder's machine was like is gone."""
    with (
        zipfile.ZipFile(built) as old,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new,
    ):
        for name in sorted(old.namelist()):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            new.writestr(entry, old.read(name))
    return target


def write_sbom(output: Path, version: str) -> Path:
    """Bill of materials of what the image installs, from the environment that the tests ran in."""
    lines = (CHECKOUT / "service" / "requirements.txt").read_text().splitlines()
    roots = [re.split(r"[=\[]", line)[0] for line in lines if line and not line.startswith("#")]
    path = output / f"superagent-{version}.cdx.json"
    found = sbom.document("superagent", version, sbom.closure(roots))
    path.write_text(json.dumps(found, indent=1) + "\n")
    return path


def find_builder(which: Callable[[str], str | None] = shutil.which) -> str | None:
    """The first image builder that is there and whose engine answers."""
    for name in BUILDERS:
        if which(name) and _run([name, "info"]).returncode == 0:
            return name
    return None


def build_image(builder: str, name: str, version: str) -> str:
    """Build the image under a new tag. `UserError` when the tag exists: a tag never changes its content."""
    inspect = [builder, "inspect", name] if builder == "buildah" else [builder, "image", "inspect", name]
    if _run(inspect).returncode == 0:
        raise UserError(f"Image {name} exists, and tags are immutable.", "Give another --version.")
    arguments = {"VERSION": version, "REVISION": commit(), "SOURCE_DATE_EPOCH": str(epoch())}
    options = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
    verb = ["bud"] if builder == "buildah" else ["build"]
    done = _run([builder, *verb, *options, "-f", "service/Dockerfile", "-t", name, "."], seconds=1_800)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise OperationFailed(f"{builder} could not build the image: {lines[-1]}")
    return name


def commit() -> str:
    """Hash of the commit that is checked out."""
    done = _run(["git", "rev-parse", "HEAD"])
    if done.returncode != 0:
        raise UserError(
            "This is no git checkout, so there is no commit to name a build after.", "Clone it with git."
        )
    return done.stdout.strip()


def dirty() -> list[str]:
    """Files that differ from the commit."""
    return [line[3:] for line in _run(["git", "status", "--porcelain"]).stdout.splitlines()]


def epoch() -> int:
    """Time of the commit, seconds since 1970, within what zip files can say."""
    done = _run(["git", "log", "-1", "--format=%ct"])
    return max(EPOCH, int(done.stdout.strip() or EPOCH))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _clean_tree(scratch: str) -> Path:
    """A copy of what git tracks: no build leftovers, no caches, no state."""
    target = Path(scratch) / "tree"
    listed = _run(["git", "ls-files", "-z", *WHEEL_SOURCES]).stdout
    for name in filter(None, listed.split("\0")):
        if (CHECKOUT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(CHECKOUT / name, target / name)
    return target


def _run(command: list[str], seconds: float = 60) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, cwd=CHECKOUT, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess[Any](
            command, 1, "", f"{command[0]} did not end within {seconds:.0f} s"
        )
