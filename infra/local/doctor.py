"""What this machine has and lacks for SuperAgent, asked of the machine and of nobody else."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from infra.errors import UserError
from infra.local import parts, ports, postgres
from infra.local.layout import Layout

Verdict = Literal["good", "lacks", "stops"]
"""`stops`: `superagent up` cannot work. `lacks`: it works, with less."""

SPACE_BYTES: Final = 3_000_000_000
"""Virtual environment, unpacked parts, and a day of data."""
MEMORY_BYTES: Final = 2_000_000_000
TOOLS: Final[Mapping[str, str]] = {
    "make": "`make up` and `make test`; the verbs of `superagent` work without it",
    "git": "`preview --base REV` compares with another revision",
    "npm": "the console's chart library; without it the page draws plainer lines",
    "docker": "docker-compose.yml and building the image; the local system needs no engine",
    "pulumi": "`pulumi up` to AWS; `superagent preview` and `up` need no CLI",
    "kubectl": "looking into an EKS cluster; releases use the API itself",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    topic: str
    verdict: Verdict
    found: str
    fix: str = ""
    """What to do, or what is missing without it; empty when good."""


def examine(place: Layout) -> list[Finding]:
    """Everything, in the order in which a newcomer meets it."""
    return [
        *_python(),
        *_machine(place),
        *_parts(),
        *_user(place),
        *_addresses(),
        *_tools(),
        _cloud(os.environ),
    ]


def _python() -> Iterator[Finding]:
    yield Finding("python", "good", f"{platform.python_version()} at {sys.executable}")
    if sys.prefix == sys.base_prefix:
        yield Finding("environment", "lacks", "no virtual environment", "`make up` makes one in .venv.")


def _machine(place: Layout) -> Iterator[Finding]:
    system, processor = platform.system(), platform.machine()
    fits = system == "Linux" and processor in ("x86_64", "aarch64")
    fix = "" if fits else "The pinned parts are built for Linux on x86_64 and aarch64."
    yield Finding(
        "system", "good" if fits else "stops", f"{system} on {processor}, {os.cpu_count()} cores", fix
    )
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    enough = total >= MEMORY_BYTES
    fix = "" if enough else f"The whole system wants {MEMORY_BYTES / 1e9:.0f} GB."
    yield Finding("memory", "good" if enough else "lacks", f"{total / 1e9:.1f} GB", fix)
    folder = next(one for one in (place.root, *place.root.parents) if one.exists())
    space = shutil.disk_usage(folder).free
    enough, writable = space >= SPACE_BYTES, os.access(folder, os.W_OK)
    fix = "" if enough else f"Make room: {SPACE_BYTES / 1e9:.0f} GB last for installation and a day of data."
    yield Finding("disk", "good" if enough else "lacks", f"{space / 1e9:.1f} GB free at {folder}", fix)
    if not writable:
        yield Finding(
            "state", "stops", f"{folder} cannot be written", "Set SUPERAGENT_HOME to another folder."
        )


def _parts() -> Iterator[Finding]:
    for part in parts.PARTS:
        try:
            found = parts.find(part.name)
        except UserError as missing:
            yield Finding(part.name, "stops", "missing", missing.fix)
            continue
        if found is None:
            fix = f"{part.why.capitalize()}. `superagent up` fetches it once, or: apt install {part.package}."
            yield Finding(part.name, "lacks", "missing", fix)
        else:
            yield Finding(part.name, "good", f"{found.version} ({found.origin})")


def _user(place: Layout) -> Iterator[Finding]:
    name = "root" if os.geteuid() == 0 else "an ordinary user"
    try:
        identity = postgres.identity(place)
    except UserError as closed:
        yield Finding("user", "stops", closed.what, closed.fix)
        return
    way = f"; Postgres runs as {identity.user}" if identity.user else ""
    way = "; Postgres runs in a user namespace" if identity.prefix else way
    yield Finding("user", "good", name + way)


def _addresses() -> Iterator[Finding]:
    closed = [address for address in ports.SLOTS if not _binds(address)]
    if closed:
        fix = "Give the loopback device 127.0.0.0/8: `ip addr add 127.0.0.1/8 dev lo`."
        yield Finding("loopback", "stops", f"{', '.join(closed)} cannot be listened on", fix)
    else:
        yield Finding("loopback", "good", f"{', '.join(ports.SLOTS)} can be listened on")


def _binds(address: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _tools(which: Callable[[str], str | None] = shutil.which) -> Iterator[Finding]:
    for name, why in TOOLS.items():
        path = which(name)
        yield Finding(
            name, "good" if path else "lacks", path or "not on PATH", "" if path else f"Needed for {why}."
        )


def _cloud(environment: Mapping[str, str]) -> Finding:
    """Whether credentials stand where the AWS SDKs look; they are neither used nor shown."""
    files = [
        Path(environment.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")).expanduser(),
        Path(environment.get("AWS_CONFIG_FILE", "~/.aws/config")).expanduser(),
    ]
    names = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN")
    found = [name for name in names if environment.get(name)] + [str(file) for file in files if file.exists()]
    if found:
        return Finding("aws", "good", f"credentials may come from {', '.join(found)}")
    fix = (
        "Only for AWS: `aws configure sso`, or a role in CI. The local system, previews and tests need none."
    )
    return Finding("aws", "lacks", "no credentials", fix)
