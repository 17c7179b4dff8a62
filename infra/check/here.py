"""Facts of the local system that no API has: its secret files, its receivers, this machine's limits."""

from __future__ import annotations

import resource
import shutil
import stat
from datetime import UTC, datetime
from typing import Final

import yaml

from infra.check.facts import Quota, Secret
from infra.local.layout import Layout

FILES: Final = 4_096
"""Open files: clients, streams and upstream connections of two processes and their proxy."""
DISK_GIB: Final = 2.0


def secrets(place: Layout) -> tuple[Secret, ...]:
    """Every file in the folder of secrets."""
    found = []
    for path in sorted(place.secrets.iterdir()):
        seen = path.stat()
        private = not seen.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        found.append(Secret(str(path), datetime.fromtimestamp(seen.st_mtime, UTC), False, private))
    return tuple(found)


def receivers(place: Layout) -> tuple[str, ...]:
    """Kinds of Alertmanager's receivers that somebody stands behind."""
    document = yaml.safe_load((place.conf / "alertmanager.yml").read_text())
    return tuple(
        kind.removesuffix("_configs")
        for receiver in document["receivers"]
        for kind, configs in receiver.items()
        if kind.endswith("_configs") and configs
    )


def quotas(place: Layout) -> tuple[Quota, ...]:
    """Open files of a process, and free disk below the state folder."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = float("inf") if soft == resource.RLIM_INFINITY else float(soft)
    free = shutil.disk_usage(place.root).free / 2**30
    return (Quota("open files", FILES, allowed), Quota("GiB of free disk", DISK_GIB, round(free, 1)))
