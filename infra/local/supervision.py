"""The supervisor of this checkout: start it, tell it what to run, ask it what runs.

It is `supervisord`, spoken to by XML-RPC over its unix socket (supervisord.org/api.html).
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from infra.errors import OperationFailed
from infra.local import orphans
from infra.local.layout import Layout, layout, write
from infra.local.programs import Program, render, render_supervisor

POLL_SECONDS = 0.03
ALIVE = frozenset({"STARTING", "RUNNING", "BACKOFF", "STOPPING"})
OWN = ("SUPERAGENT_", "SUPERVISOR_", "AWS_", "PG", "PULUMI_", "REDIS_")
"""Settings of the caller's shell that no part may inherit (a real AWS account among them)."""


@dataclass(frozen=True, slots=True)
class Process:
    """One part as the supervisor sees it."""

    name: str
    state: str
    """`RUNNING`, `STARTING`, `BACKOFF`, `STOPPING`, `STOPPED`, `EXITED` or `FATAL`."""
    pid: int
    seconds: int
    """Since its start."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__()
        self._path, self._timeout = path, timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _Connection(self._path, self._timeout)


def _rpc(place: Layout, timeout: float = 10.0) -> Any:
    transport = _Transport(str(place.socket), timeout)
    return xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=transport).supervisor


def alive(place: Layout | None = None) -> bool:
    """Whether the supervisor answers."""
    try:
        return bool(_rpc(place or layout(), timeout=3.0).getState()["statecode"] == 1)
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return False


def launch(place: Layout | None = None) -> None:
    """Start the supervisor in a session of its own and wait until it answers.

    Parts that outlived a killed supervisor are ended first: it could not watch them.
    """
    place = place or layout()
    orphans.end(place)
    write(place.conf / "supervisord.conf", render_supervisor(place))
    place.socket.unlink(missing_ok=True)
    with place.log("supervisor").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(place.conf / "supervisord.conf")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=place.root,
            env=environment(),
            start_new_session=True,
        )
    deadline = time.monotonic() + 20
    while not alive(place):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise OperationFailed(f"The supervisor did not start: {last_line(place, 'supervisor')}")
        time.sleep(POLL_SECONDS)


def environment() -> dict[str, str]:
    """The caller's environment without settings that would change what a part does."""
    return {key: text for key, text in os.environ.items() if not key.startswith(OWN)}


def processes(place: Layout | None = None) -> dict[str, Process]:
    """Every known part by name; empty while the supervisor is down."""
    try:
        found = _rpc(place or layout()).getAllProcessInfo()
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return {}
    return {
        one["name"]: Process(one["name"], one["statename"], one["pid"], max(0, one["now"] - one["start"]))
        for one in found
    }


def define(programs: Iterable[Program], place: Layout | None = None) -> list[str]:
    """Write the parts' configuration and load it; a running part that changed is stopped. Names of those."""
    place = place or layout()
    wanted = {program.name: program for program in programs}
    for program in wanted.values():
        write(place.programs / f"{program.name}.conf", render(program, place), 0o600)
    rpc = _rpc(place, timeout=120)
    [[added, changed, _]] = rpc.reloadConfig()
    replaced = [name for name in changed if name in wanted]
    stop_all(replaced, place)
    for name in replaced:
        rpc.removeProcessGroup(name)
    for name in [*(one for one in added if one in wanted), *replaced]:
        rpc.addProcessGroup(name)
    return replaced


def start(part: str, place: Layout | None = None) -> None:
    """Start a part (harmless when it runs) and wait until its process runs."""
    start_all([part], place)


def start_all(parts: Iterable[str], place: Layout | None = None, seconds: float = 20.0) -> None:
    """Start several parts at once and wait until each of their processes runs; one that still stops may end
    first.

    Raises `OperationFailed` with the last line of its log for one that does not.
    """
    place = place or layout()
    names = list(parts)
    known = processes(place)
    stop_all([name for name in names if name in known and known[name].state == "STOPPING"], place)
    begin(names, place)
    _until(place, names, lambda state: state == "RUNNING", seconds, "start")


def begin(parts: Iterable[str], place: Layout | None = None) -> list[str]:
    """Start several parts and return at once; their names."""
    place = place or layout()
    names = list(parts)
    rpc = _rpc(place)
    known = processes(place)
    for name in names:
        if name not in known:
            raise OperationFailed(f"{name} is not configured; run `superagent up`.")
        if known[name].state not in ("RUNNING", "STARTING", "BACKOFF"):
            rpc.startProcess(name, False)
    return names


def stop(part: str, place: Layout | None = None) -> None:
    """Stop a part with its own signal and wait until it is gone."""
    stop_all([part], place)


def stop_all(parts: Iterable[str], place: Layout | None = None, seconds: float = 60.0) -> None:
    """Stop several parts at once and wait until all are gone."""
    place = place or layout()
    names = signal_stop(parts, place)
    _until(place, names, lambda state: state not in ALIVE, seconds, "stop")


def signal_stop(parts: Iterable[str], place: Layout | None = None) -> list[str]:
    """Ask parts to stop and return at once; names of those that were asked."""
    place = place or layout()
    known = processes(place)
    names = [name for name in parts if name in known and known[name].state in ALIVE]
    rpc = _rpc(place)
    for name in names:
        if known[name].state != "STOPPING":
            rpc.stopProcess(name, False)
    return names


def shutdown(place: Layout | None = None) -> None:
    """End the supervisor and what it still runs; returns when its process is gone."""
    place = place or layout()
    try:
        pid = int(_rpc(place).getPID())
        _rpc(place).shutdown()
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        orphans.end(place)
        return
    deadline = time.monotonic() + 60
    while orphans.lives(pid):
        if time.monotonic() > deadline:
            raise OperationFailed(f"The supervisor (pid {pid}) did not end within 60 s.")
        time.sleep(POLL_SECONDS)
    place.socket.unlink(missing_ok=True)


def last_line(place: Layout, part: str) -> str:
    """The last line that a part wrote, for an error message."""
    try:
        lines = place.log(part).read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1][:300] if lines else f"it wrote nothing to {place.log(part)}"


def _until(place: Layout, names: list[str], done: Callable[[str], bool], seconds: float, verb: str) -> None:
    deadline = time.monotonic() + seconds
    while True:
        known = processes(place)
        waiting = [name for name in names if name in known and not done(known[name].state)]
        if not waiting:
            return
        fatal = [name for name in waiting if known[name].state == "FATAL"]
        if fatal or time.monotonic() > deadline:
            name = (fatal or waiting)[0]
            raise OperationFailed(f"{name} did not {verb} within {seconds:.0f} s: {last_line(place, name)}")
        time.sleep(POLL_SECONDS)
