"""Where things lie in the state folder of a checkout (docs/architecture.md, "The local system")."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra.home import home

LONGEST_SOCKET_PATH = 90
"""`sun_path` holds 107 bytes (unix(7)); supervisord binds `<path>.<pid>` first."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below one state folder; nothing is created by asking."""

    root: Path

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def outputs(self) -> Path:
        return self.root / "outputs.json"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def conf(self) -> Path:
        return self.root / "conf"

    @property
    def programs(self) -> Path:
        """One supervisor file a part."""
        return self.conf / "programs"

    @property
    def targets(self) -> Path:
        """Prometheus' file discovery."""
        return self.conf / "targets"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics"

    @property
    def runtime(self) -> Path:
        """Folder of the supervisor's socket: below the root unless that path is too long for a socket."""
        inside = self.root / "run"
        if len(os.fsencode(inside / "supervisor.sock")) <= LONGEST_SOCKET_PATH:
            return inside
        name = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"superagent-{os.getuid()}-{name}"

    @property
    def socket(self) -> Path:
        return self.runtime / "supervisor.sock"

    def log(self, part: str) -> Path:
        return self.logs / f"{part}.log"

    def secret(self, name: str) -> Path:
        return self.secrets / name

    def make(self) -> None:
        """Create every folder; secrets and the runtime folder for this user alone."""
        self.root.mkdir(parents=True, exist_ok=True)
        for folder in (self.data, self.logs, self.conf, self.programs, self.targets, self.metrics):
            folder.mkdir(exist_ok=True)
        for private in (self.secrets, self.runtime):
            private.mkdir(mode=0o700, exist_ok=True)
            if private.stat().st_uid != os.getuid():
                raise PermissionError(13, "belongs to another user", str(private))


def layout() -> Layout:
    """The layout of this checkout's state folder."""
    return Layout(home())


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file whole, with `mode` from its first byte on."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
