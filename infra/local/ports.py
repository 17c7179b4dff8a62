"""Which port each part gets: a preferred one, else the next free one; remembered in `state.json`."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from infra.errors import UserError

HERE: Final = ("127.0.0.1",)
SLOTS: Final = ("127.0.0.11", "127.0.0.12", "127.0.0.21", "127.0.0.22")
PREFERRED: Final[dict[str, tuple[int, tuple[str, ...]]]] = {
    "api": (8080, HERE),
    "test": (8081, HERE),
    "service": (8000, SLOTS),
    "service_metrics": (8001, SLOTS),
    "aws": (5000, HERE),
    "postgres": (15432, HERE),
    "valkey": (16379, HERE),
    "envoy": (9901, HERE),
    "prometheus": (9090, HERE),
    "alertmanager": (9093, HERE),
    "node_exporter": (9100, HERE),
    "postgres_exporter": (9187, HERE),
    "redis_exporter": (9121, HERE),
    "blackbox_exporter": (9115, HERE),
    "console": (8088, HERE),
}
"""Name → (preferred port, addresses on which it must be free)."""
PUBLIC: Final = ("api", "test")
"""What people write into scripts: these never move silently once chosen."""
STEP: Final = 10
"""Distance of the next try, so that the ports of a second checkout look alike."""


def choose(
    remembered: dict[str, int], claimed: Iterable[int] = (), asked: dict[str, int] | None = None
) -> dict[str, int]:
    """A port for every name. `claimed` belongs to other checkouts, `asked` must be taken as it is.

    Raises `UserError` when a port that was asked for, or a public one that was remembered, is taken.
    """
    asked = asked or {}
    used = set(claimed)
    chosen: dict[str, int] = {}
    for name, (preferred, addresses) in PREFERRED.items():
        port = asked.get(name) or remembered.get(name)
        fixed = name in asked or (name in PUBLIC and name in remembered)
        if port and fixed and not free(port, addresses):
            raise _taken(name, port, name in asked)
        if not port or not free(port, addresses) or port in chosen.values():
            port = _next_free(preferred, addresses, used | set(chosen.values()))
        chosen[name] = port
    return chosen


def free(port: int, addresses: Iterable[str] = HERE) -> bool:
    """Whether a server could listen on `port` of every address."""
    for address in addresses:
        with socket.socket() as sock:
            # As every server here does; sockets that merely linger in TIME_WAIT are no obstacle.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((address, port))
            except OSError:
                return False
    return True


def holder(port: int) -> str:
    """The process that listens on a port, as `name (pid N)`; `another process` when it cannot be told."""
    with suppress(OSError):
        inodes = {
            line.split()[9]
            for table in ("/proc/net/tcp", "/proc/net/tcp6")
            for line in Path(table).read_text().splitlines()[1:]
            if line.split()[3] == "0A" and int(line.split()[1].rpartition(":")[2], 16) == port
        }
        links = {f"socket:[{inode}]" for inode in inodes}
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                with suppress(OSError):
                    if any(str(one.readlink()) in links for one in (process / "fd").iterdir()):
                        return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return "another process"


def _next_free(preferred: int, addresses: Iterable[str], used: set[int]) -> int:
    for port in range(preferred, 65536, STEP):
        if port not in used and free(port, addresses):
            return port
    raise UserError(f"No port from {preferred} on is free.", "Stop something that listens on this machine.")


def _taken(name: str, port: int, asked: bool) -> UserError:
    option = "--port" if name == "api" else f"--{name}-port"
    why = "" if asked else ", which an earlier `superagent up` chose,"
    return UserError(
        f"Port {port} for {name}{why} is taken by {holder(port)}.",
        f"Stop that process, or choose another port: `superagent up {option} N`.",
    )
