"""What runs under the supervisor, as data, and the supervisor's configuration of it. Pure functions."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from infra.errors import UserError
from infra.local.layout import Layout

LOG_BYTES = 10 * 1024 * 1024
LOG_BACKUPS = 2


@dataclass(frozen=True, slots=True)
class Program:
    """One supervised process."""

    name: str
    command: tuple[str, ...]
    """Never holds a secret: everybody on the machine may read an argument list."""
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: Literal["TERM", "INT", "QUIT"] = "TERM"
    stop_seconds: int = 10
    """After this long the process is killed."""
    user: str | None = None


def render(program: Program, place: Layout) -> str:
    """The `[program]` section. Parts are started by name, in the order that `up` knows."""
    lines = {
        "command": " ".join(shlex.quote(word) for word in program.command),
        "directory": str(program.folder),
        "environment": ",".join(
            f"{key}={_quoted(text)}" for key, text in sorted(program.environment.items())
        ),
        "autostart": "false",
        "autorestart": "true",
        "startsecs": "1",
        "startretries": "60",
        "stopsignal": program.stop_signal,
        "stopwaitsecs": str(program.stop_seconds),
        "killasgroup": "true",
        "redirect_stderr": "true",
        # Relative to the supervisor's folder: it expands `%` in this value twice.
        "stdout_logfile": str(place.log(program.name).relative_to(place.root)),
        "stdout_logfile_maxbytes": str(LOG_BYTES),
        "stdout_logfile_backups": str(LOG_BACKUPS),
    }
    if program.user:
        lines["user"] = program.user
    body = "".join(f"{key} = {text.replace('%', '%%')}\n" for key, text in lines.items() if text)
    return f"[program:{program.name}]\n{body}"


def render_supervisor(place: Layout) -> str:
    """`supervisord.conf`: its socket, its log, and every part's file beside it."""
    values = {
        "socket": place.socket,
        "log": place.log("supervisor"),
        "pid": place.runtime / "supervisor.pid",
        "logs": place.logs,
    }
    paths = {name: str(path).replace("%", "%%") for name, path in values.items()}
    return f"""[unix_http_server]
file = {paths["socket"]}
chmod = 0700

[supervisord]
nodaemon = true
silent = true
logfile = {paths["log"]}
logfile_maxbytes = {LOG_BYTES}
logfile_backups = {LOG_BACKUPS}
pidfile = {paths["pid"]}
childlogdir = {paths["logs"]}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[include]
files = programs/*.conf
"""


def _quoted(text: str) -> str:
    """The supervisor knows two quotes, has no escape, and strips quotes off both ends."""
    quote = "'" if '"' in text else '"'
    if quote in text or "\n" in text or text != text.strip("'\""):
        raise UserError(
            f"{text!r} cannot be a setting of a part.", "Use one kind of quote and no line break."
        )
    return f"{quote}{text}{quote}"
